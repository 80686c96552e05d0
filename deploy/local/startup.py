"""From nothing to a running system, step by step."""

import asyncio
from pathlib import Path

import asyncpg

from deploy.local import dsn, services
from deploy.local.broker import LocalBroker
from deploy.local.display import Display
from deploy.local.errors import LocalError
from deploy.local.jars import cache_directory, fetch_jars, have_jars
from deploy.local.plan import DATABASE, Plan
from deploy.local.postgres import LocalPostgres
from deploy.local.programs import Program, ServiceProgram, run_command

STEPS = 5 + len(services.ORDER)


class Startup:
    """Starts the programs of a plan. Each is in `programs` from the moment it may be running."""

    def __init__(self, plan: Plan, display: Display, programs: dict[str, Program]) -> None:
        self._plan = plan
        self._display = display
        self._programs = programs
        self._state = plan.state

    def run(self) -> None:
        """Take every step. Raises LocalError at the first that fails."""
        for name in services.ORDER:
            services.check_settings(name, self._environment(name))
        broker = self._broker()
        self._jars()
        self._postgres()
        if broker is not None:
            self._programs["kafka"] = broker
            broker.begin()  # it comes up while the schema is brought up to date
        self._migrate()
        with self._display.step("Kafka") as step:
            if broker is not None:
                broker.wait()
            step.note = self._plan.kafka_bootstrap + self._external(self._plan.external_kafka)
        self._provision()
        self._services()

    def _jars(self) -> None:
        cache = cache_directory(self._plan.base)
        with self._display.step("Kafka's jars") as step:
            if self._plan.external_kafka:
                step.note = "not needed"
            else:
                had = have_jars(cache)
                folder = fetch_jars(cache)
                step.note = f"{'checked' if had else 'downloaded and checked'}: {_short(folder)}"

    def _postgres(self) -> None:
        plan = self._plan
        with self._display.step("Postgres") as step:
            step.note = dsn.where(plan.owner_dsn) + self._external(plan.external_postgres)
            if plan.external_postgres is None:
                server = LocalPostgres(
                    self._state.postgres,
                    port=plan.ports["postgres"],
                    password=plan.keys.postgres_password,
                    log=self._state.log("postgres"),
                )
                self._programs["postgres"] = server
                server.start()
                asyncio.run(_create_database(server.dsn(), DATABASE))
                if server.home != self._state.postgres:
                    step.note += f"  data in {server.home}, where Postgres may go as nobody"

    def _broker(self) -> LocalBroker | None:
        if self._plan.external_kafka:
            return None
        return LocalBroker(
            self._state.kafka,
            port=self._plan.ports["kafka"],
            controller_port=self._plan.ports["controller"],
            cache=cache_directory(self._plan.base),
            log=self._state.log("kafka"),
        )

    def _migrate(self) -> None:
        passwords = {
            f"EBBTIDE_MIGRATE_{role.upper()}_PASSWORD": password
            for role, password in self._plan.role_passwords().items()
        }
        decided = {"EBBTIDE_POSTGRES_DSN": self._plan.owner_dsn, **passwords}
        with self._display.step("migrations") as step:
            run_command(
                "shared.database.migrate",
                env=services.override(self._plan.base, decided),
                log=self._state.log("migrate"),
            )
            step.note = "the schema is up to date"

    def _provision(self) -> None:
        decided = {
            "EBBTIDE_KAFKA_BOOTSTRAP": self._plan.kafka_bootstrap,
            "EBBTIDE_CLOCK_FILE": str(self._state.clock_file),
        }
        with self._display.step("topics") as step:
            step.note = run_command(
                "shared.kafka.provision",
                env=services.override(self._plan.base, decided),
                log=self._state.log("provision"),
            )

    def _services(self) -> None:
        begun: list[ServiceProgram] = []
        for name in services.ORDER:
            program = self._service(name)
            self._programs[name] = program
            program.begin()
            begun.append(program)
        for program in begun:  # they come up side by side, and are waited for in order
            with self._display.step(program.name) as step:
                program.wait()
                step.note = self._plan.url(program.name)

    def _service(self, name: str) -> ServiceProgram:
        return ServiceProgram(
            name,
            env=self._environment(name),
            port=self._plan.ports[name],
            log=self._state.log(name),
        )

    def _environment(self, name: str) -> dict[str, str]:
        plan = self._plan
        around = plan.surroundings()
        return services.environment(name, around, port=plan.ports[name], base=plan.base)

    @staticmethod
    def _external(given: str | None) -> str:
        return " (external)" if given else ""


async def _create_database(server: str, name: str) -> None:
    try:
        connection = await asyncpg.connect(server)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise LocalError(
            f"the data are of other secrets ({error}); `make down` deletes them"
        ) from None
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


def _short(path: Path) -> str:
    """Return a path as a person writes it."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
