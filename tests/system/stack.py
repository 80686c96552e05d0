"""The whole system for one test: own database, own broker, own clock, the four services.

    async with Stack(tmp_path, postgres=postgres_url) as stack:
        stack.drive(datetime(2026, 1, 1, tzinfo=UTC))
        httpx.post(f"{stack.ingest_url}/v1/events", auth=(stack.write_key, ""), json=...)
        await stack.caught_up()

Methods that start programs belong on the main thread: children die with the thread that started
them (see deploy.local.children).
"""

import asyncio
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import children, ports, services
from deploy.local.broker import LocalBroker
from deploy.local.errors import DidNotStart
from deploy.local.postgres import THROW_AWAY, LocalPostgres
from deploy.local.services import Surroundings
from shared.clock import Drive, DrivenClock, SystemClock, read_drive, write_drive
from shared.kafka.provision import ProvisionSettings, provision
from tests import servers
from tests.brokers import format_quickly
from tests.servers import Database
from tests.system import progress

ROOT = Path(__file__).parents[2]


class Stack:
    """Services are named `ingest`, `api`, `alerts`, `segmenter`, `segmenter-2`, `segmenter-3`, …"""

    def __init__(  # noqa: PLR0913  options, each with a default
        self,
        directory: Path,
        *,
        postgres: str | None = None,
        tree: Path = ROOT,
        segmenters: int = 1,
        ledger: bool = False,
        partitions: int = 12,
        settings: Mapping[str, str] | None = None,
        postgres_settings: Mapping[str, str] = THROW_AWAY,
        begins: datetime | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        `postgres` is a server's superuser address, in which a database is made; without it a
        server of the stack's own is started. `tree` is the code that the services run.
        `settings` are further EBBTIDE_ variables of all services that know them. `begins` is when
        product time begins, standing still: without it, it is the machine's. It must not be set
        back later: watermarks do not go back, and what is behind them counts as known.
        """
        self.directory = directory
        self.tree = tree
        self.segmenters = segmenters
        self.partitions = partitions
        self.source = "test"
        self.write_key = "write-key-of-the-stack"
        self.api_key = "api-key-of-the-stack"
        self.clock_file = directory / "clock.json"
        self.clock = DrivenClock(self.clock_file)
        self.broker = LocalBroker(directory / "kafka", port=ports.any_free())
        self.postgres: LocalPostgres | None = None
        self._begins = begins
        self._server = postgres
        self._settings = {"EBBTIDE_LOG_LEVEL": "INFO", **(settings or {})}
        if ledger:
            self._settings |= {"EBBTIDE_SEGMENTER_LEDGER": "true", "EBBTIDE_ALERTS_LEDGER": "true"}
        if postgres is None:
            self.postgres = LocalPostgres(
                directory / "postgres",
                port=ports.any_free(),
                password=uuid.uuid4().hex,
                settings=postgres_settings,
            )
        self._database: Database | None = None
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start everything and wait until every service is ready."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if self._begins is not None:
                self.drive(self._begins)
            if self.postgres is not None:
                self.postgres.start()
                self._server = self.postgres.dsn()
            assert self._server is not None
            self._database = await servers.new_database(self._server)
            format_quickly(self.broker)
            self.broker.start()
            await self._make_topics()
            for name in self._first_services():
                await self.start_service(name, wait=False)
            for name in self._first_services():
                await self.ready(name)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End everything at once and delete what it stored. Logs stay in `directory`."""
        for child in self._running.values():
            children.end(child, how=signal.SIGKILL)
        self.broker.kill()
        self.broker.remove()
        if self.postgres is not None:
            self.postgres.stop_immediate()
            self.postgres.remove()
        elif self._database is not None and self._server is not None:
            await servers.drop_database(self._server, self._database.name)

    # --- addresses ---

    @property
    def ingest_url(self) -> str:
        return self.url("ingest")

    @property
    def api_url(self) -> str:
        return self.url("api")

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    @property
    def database(self) -> Database:
        """The addresses of the database, for the owner and each role."""
        assert self._database is not None, "not started"
        return self._database

    def url(self, name: str) -> str:
        """Return the HTTP address of a service, which it keeps when it is started again."""
        return f"http://{services.HOST}:{self._port(name)}"

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    # --- services ---

    def running(self) -> list[str]:
        """Return the names of the services that have been started and live."""
        return [name for name, child in self._running.items() if child.poll() is None]

    def pid(self, name: str) -> int:
        return self._running[name].pid

    async def start_service(self, name: str, *, wait: bool = True) -> None:
        """Start a service by its name; a new `segmenter-N` adds one. Raises DidNotStart."""
        assert name not in self.running(), f"{name} runs already"
        service = name.partition("-")[0]
        base = {key: value for key, value in os.environ.items() if not key.startswith("EBBTIDE_")}
        self._running[name] = children.spawn(
            [services.python(), "-m", f"services.{service}"],
            log=self.log(name),
            cwd=self.tree,
            env=services.environment(
                service, self._surroundings(), port=self._port(name), base=base | self._settings
            ),
        )
        if wait:
            await self.ready(name)

    async def ready(self, name: str, *, within_s: float = 60.0) -> None:
        """Wait until a service says that it is ready. Raises DidNotStart with the end of its log."""
        await self._until(name, lambda: services.answers(f"{self.url(name)}/readyz"), within_s)

    async def stop(self, name: str, *, within_s: float = 30.0) -> bool:
        """End a service in order (SIGTERM). Return whether it ended by itself in time."""
        child = self._running[name]
        return await asyncio.to_thread(children.end, child, within_s=within_s)

    def kill(self, name: str) -> None:
        """End a service at once (SIGKILL)."""
        children.end(self._running[name], how=signal.SIGKILL)

    def pause(self, name: str) -> None:
        """Freeze a service (SIGSTOP): it holds its connections and does nothing."""
        self._running[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._running[name].send_signal(signal.SIGCONT)

    # --- product time ---

    def now(self) -> datetime:
        """Return product time as every service sees it."""
        return self.clock.now()

    def drive(self, instant: datetime, *, rate: float = 0.0) -> None:
        """Make it `instant` for every service; time stands still unless a rate is given."""
        write_drive(self.clock_file, Drive(instant.astimezone(UTC), SystemClock().now(), rate))

    def advance(self, by: timedelta) -> None:
        """Make time jump ahead, and run on as it did."""
        drive = read_drive(self.clock_file)
        self.drive(self.now() + by, rate=1.0 if drive is None else drive.rate)

    async def caught_up(self, until: datetime | None = None, *, within_s: float = 90.0) -> None:
        """Wait until all that ingest has acknowledged is folded, swept and published.

        Holds when every lane of the segmenter is at the end of its partition with its watermark at
        `until`, nobody has a deadline up to then, the outbox is empty, and the alerts have read it
        all. Default: product time now, less the margin that a watermark keeps behind it: to see
        what happens at an instant, drive a second past it. Raises TimeoutError saying what is amiss.
        """
        await progress.caught_up(
            self.database.owner,
            self.bootstrap,
            until=until or self.now() - progress.MARGIN,
            alerts="alerts" in self.running(),
            within_s=within_s,
        )

    # --- inner workings ---

    def _first_services(self) -> list[str]:
        more = [f"segmenter-{number}" for number in range(2, self.segmenters + 1)]
        return ["segmenter", *more, "alerts", "api", "ingest"]

    def _port(self, name: str) -> int:
        if name not in self._ports:
            self._ports[name] = ports.any_free()
        return self._ports[name]

    def _surroundings(self) -> Surroundings:
        dsns = {role: getattr(self.database, role) for role in services.ROLES}
        return Surroundings(
            kafka_bootstrap=self.bootstrap,
            postgres_dsns=dsns,
            clock_file=self.clock_file,
            source=self.source,
            write_key=self.write_key,
            api_key=self.api_key,
        )

    async def _make_topics(self) -> None:
        settings = ProvisionSettings.model_validate(
            {
                "kafka_bootstrap": self.bootstrap,
                "clock_file": self.clock_file,
                "partitions": self.partitions,
            }
        )
        await provision(self.bootstrap, settings)

    async def _until(self, name: str, ready: Callable[[], bool], within_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not await asyncio.to_thread(ready):
            status = self._running[name].poll()
            if status is not None or loop.time() > deadline:
                what = "was not ready in time" if status is None else f"ended with status {status}"
                raise DidNotStart(f"{name} {what}\n{children.tail(self.log(name))}")
            await asyncio.sleep(0.1)
