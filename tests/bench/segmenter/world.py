"""The servers of a run, and segmenters as whole processes on databases of their own."""

import asyncio
import os
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import KafkaException

from deploy.local import children, ports, services
from deploy.local.broker import LocalBroker
from deploy.local.postgres import LocalPostgres
from deploy.local.services import Surroundings
from shared.contracts import topics
from shared.errors import BrokerUnavailable, EbbtideError
from shared.kafka.provision import ProvisionSettings, provision
from tests import servers
from tests.servers import Database
from tests.system import progress

ROOT = Path(__file__).parents[3]
WRITE_KEY = "write-key-of-the-bench"
API_KEY = "api-key-of-the-bench"
TOPIC_GONE_WITHIN_S = 30.0
# Durability as it comes: what a test may forgo would flatter the figures. The rest makes runs alike
# and exact: no checkpoint begins by itself within a measurement, and commits are dated.
POSTGRES = {
    "track_commit_timestamp": "on",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
}


async def until(
    holds: Callable[[], Awaitable[bool]], *, within_s: float, every_s: float = 0.1
) -> None:
    """Wait until it holds. Raises NeverHeld."""
    deadline = time.monotonic() + within_s
    while not await holds():
        if time.monotonic() > deadline:
            raise NeverHeld(f"{getattr(holds, '__qualname__', holds)}, for {within_s:.0f} s")
        await asyncio.sleep(every_s)


class NeverHeld(EbbtideError):
    """What a measurement waits for did not come; says what and how long."""


class World:
    """One Postgres, one Kafka; a new database for every measurement."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock_file = directory / "clock.json"
        self.broker = LocalBroker(directory / "kafka", port=ports.any_free())
        self.postgres = LocalPostgres(
            directory / "postgres",
            port=ports.any_free(),
            password=uuid.uuid4().hex,
            settings=POSTGRES,
        )
        self._exits = AsyncExitStack()
        self._template = ""
        self._started = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            exits.callback(self.postgres.stop_immediate)
            self.postgres.start()
            self._template = exits.enter_context(servers.template_database(self.server))
            exits.callback(self.broker.kill)
            self.broker.start()
            await self._provision()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    @property
    def server(self) -> str:
        return self.postgres.dsn()

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    async def empty_topic(self) -> None:
        """Make the events topic anew, without a record. Nothing may be reading it."""
        if await self._is_empty():
            return
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()

        async def gone() -> bool:
            return topics.EVENTS.name not in await admin.list_topics()

        try:
            await admin.delete_topics([topics.EVENTS.name])
            await until(gone, within_s=TOPIC_GONE_WITHIN_S)
        finally:
            await admin.close()
        await until(self._is_empty, within_s=TOPIC_GONE_WITHIN_S)

    @asynccontextmanager
    async def database(self, template: Database | None = None) -> AsyncIterator[Database]:
        """Give a copy of the template (default: empty tables), dropped afterwards.

        What earlier measurements left to be written is written before.
        """
        connection = await asyncpg.connect(self.server)
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        made = await servers.clone_database(
            self.server, self._template if template is None else template.name
        )
        try:
            yield made
        finally:
            await servers.drop_database(self.server, made.name)

    def start(
        self,
        service: str,
        database: Database,
        *,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> "Program":
        """Start `python -m services.<service>` and return at once."""
        self._started += 1
        log = self.directory / f"{service}-{self._started}.log"
        port = port or ports.any_free()
        base = {key: value for key, value in os.environ.items() if not key.startswith("EBBTIDE_")}
        child = children.spawn(
            [services.python(), "-m", f"services.{service}"],
            log=log,
            cwd=ROOT,
            env=services.environment(
                service,
                self._surroundings(database),
                port=port,
                base=base | {"EBBTIDE_LOG_LEVEL": "WARNING"} | dict(settings or {}),
            ),
        )
        return Program(service, child, log, port)

    def _surroundings(self, database: Database) -> Surroundings:
        return Surroundings(
            kafka_bootstrap=self.bootstrap,
            postgres_dsns={role: getattr(database, role) for role in services.ROLES},
            clock_file=self.clock_file,
            source="bench",
            write_key=WRITE_KEY,
            api_key=API_KEY,
        )

    async def _provision(self) -> None:
        settings = ProvisionSettings.model_validate(
            {"kafka_bootstrap": self.bootstrap, "clock_file": self.clock_file}
        )
        await provision(self.bootstrap, settings)

    async def _is_empty(self) -> bool:
        try:
            await self._provision()
            ends = await asyncio.to_thread(progress.end_offsets, self.bootstrap, topics.EVENTS.name)
        except (BrokerUnavailable, KafkaException):  # the old topic is still going
            return False
        return len(ends) == topics.DEFAULT_PARTITIONS and not any(ends.values())


class Program:
    """A service that runs."""

    def __init__(self, service: str, child: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.service = service
        self.child = child
        self.log = log
        self.port = port

    @property
    def pid(self) -> int:
        return self.child.pid

    def must_live(self) -> None:
        if (status := self.child.poll()) is not None:
            raise NeverHeld(f"{self.service} ended with status {status}\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of its log."""
        return children.tail(self.log, lines=8)

    async def ready(self, *, within_s: float = 60.0) -> None:
        """Wait until it says that it is ready."""
        url = f"http://{services.HOST}:{self.port}/readyz"
        try:
            await until(lambda: self._answers(url), within_s=within_s)
        except NeverHeld as error:
            raise NeverHeld(f"{self.service} is not ready\n{self.last_words()}") from error

    async def _answers(self, url: str) -> bool:
        self.must_live()
        return await asyncio.to_thread(services.answers, url)

    async def stop(self) -> None:
        """End it in order; at once where that takes too long."""
        await asyncio.to_thread(children.end, self.child, within_s=15.0)

    def kill(self) -> None:
        children.end(self.child, how=signal.SIGKILL)


@asynccontextmanager
async def stopping(*programs: Program) -> AsyncIterator[None]:
    """Stop the programs when the body ends; kill them where it fails."""
    try:
        yield
        await asyncio.gather(*(each.stop() for each in programs))
    finally:
        for each in programs:
            each.kill()
