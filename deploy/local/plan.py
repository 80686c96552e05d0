"""What one run will use: its own servers or external ones, its ports, its secrets."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import dsn, ports, services
from deploy.local.errors import LocalError
from deploy.local.keys import Keys
from deploy.local.postgres import OWNER
from deploy.local.services import HOST, Surroundings
from deploy.local.state import RunInfo, State

SOURCE = "local"
DATABASE = "ebbtide"
# name → the variable that wishes for another port, and the port wished for without it
WANTED = {
    "ingest": ("EBBTIDE_INGEST_PORT", 8100),
    "api": ("EBBTIDE_API_PORT", 8200),
    "segmenter": ("EBBTIDE_SEGMENTER_PORT", 8301),
    "alerts": ("EBBTIDE_ALERTS_PORT", 8302),
    "postgres": ("EBBTIDE_LOCAL_POSTGRES_PORT", 15_440),
    "kafka": ("EBBTIDE_LOCAL_KAFKA_PORT", 19_192),
    "controller": ("EBBTIDE_LOCAL_CONTROLLER_PORT", 19_193),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided before the first program starts."""

    state: State
    keys: Keys
    ports: Mapping[str, int]
    notices: tuple[str, ...]  # for the person at the terminal
    base: Mapping[str, str]  # the environment that programs inherit
    external_postgres: str | None  # the owner's address
    external_kafka: str | None

    @property
    def owner_dsn(self) -> str:
        if self.external_postgres:
            return self.external_postgres
        server = f"postgresql://{HOST}:{self.ports['postgres']}/{DATABASE}"
        return dsn.with_role(server, OWNER, self.keys.postgres_password)

    @property
    def kafka_bootstrap(self) -> str:
        return self.external_kafka or f"{HOST}:{self.ports['kafka']}"

    def role_passwords(self) -> dict[str, str]:
        """Return service → password of its role."""
        return {role: getattr(self.keys, f"{role}_password") for role in services.ROLES}

    def surroundings(self) -> Surroundings:
        return Surroundings(
            kafka_bootstrap=self.kafka_bootstrap,
            postgres_dsns={
                role: dsn.with_role(self.owner_dsn, f"ebbtide_{role}", password)
                for role, password in self.role_passwords().items()
            },
            clock_file=self.state.clock_file,
            source=SOURCE,
            write_key=self.keys.write_key,
            api_key=self.keys.api_key,
        )

    def url(self, service: str) -> str:
        return f"http://{HOST}:{self.ports[service]}"

    def run_info(self, pids: Mapping[str, int]) -> RunInfo:
        return RunInfo(
            ingest_url=self.url("ingest"),
            api_url=self.url("api"),
            segmenter_url=self.url("segmenter"),
            alerts_url=self.url("alerts"),
            write_key=self.keys.write_key,
            api_key=self.keys.api_key,
            source=SOURCE,
            postgres_dsn=self.owner_dsn,
            kafka_bootstrap=self.kafka_bootstrap,
            clock_file=str(self.state.clock_file),
            state_dir=str(self.state.directory),
            pids=dict(pids),
        )


def make_plan(state: State, environ: Mapping[str, str] = os.environ) -> Plan:
    """Decide. Raises LocalError when a wish can't be read."""
    external_postgres = value_of("EBBTIDE_POSTGRES_DSN", environ)
    external_kafka = value_of("EBBTIDE_KAFKA_BOOTSTRAP", environ)
    unneeded = {"postgres"} if external_postgres else set()
    unneeded |= {"kafka", "controller"} if external_kafka else set()
    chosen, notices = choose_ports(
        {name: wish for name, wish in wishes(environ).items() if name not in unneeded}
    )
    return Plan(
        state=state,
        keys=state.keys(),
        ports=chosen,
        notices=tuple(notices),
        base=dict(environ),
        external_postgres=external_postgres,
        external_kafka=external_kafka,
    )


def wishes(environ: Mapping[str, str]) -> dict[str, int]:
    """Return name → port wished for; 0 means any. Raises LocalError."""
    found: dict[str, int] = {}
    for name, (variable, usual) in WANTED.items():
        text = environ.get(variable) or str(usual)
        if not text.isdecimal() or int(text) > ports.HIGHEST:
            raise LocalError(f"{variable}: {text!r} is not a port up to {ports.HIGHEST}")
        found[name] = int(text)
    return found


def choose_ports(
    wanted: Mapping[str, int], *, next_free: Callable[..., int] = ports.next_free
) -> tuple[dict[str, int], list[str]]:
    """Return a free port for each name, and a line for each that is not the one wished for."""
    chosen: dict[str, int] = {}
    notices: list[str] = []
    for name, wish in wanted.items():
        port = next_free(wish or ports.somewhere(), taken=chosen.values())
        if wish and port != wish:
            notices.append(f"port {wish} is busy: {name} listens on {port} instead")
        chosen[name] = port
    return chosen, notices


def value_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Return a variable's value, or that of the file which `<name>_FILE` names."""
    if path := environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return environ.get(name) or None
