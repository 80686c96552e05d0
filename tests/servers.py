"""Real servers for tests: those that the environment names, else own ones for the session."""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from deploy.local import ports
from deploy.local.broker import LocalBroker
from deploy.local.dsn import with_database, with_role
from deploy.local.postgres import THROW_AWAY, LocalPostgres
from shared.database.migrate import migrate, set_passwords
from tests.brokers import format_quickly
from tests.memory import memory_directory
from tests.scratch import scratch_directory

T = TypeVar("T")
MakeTopic = Callable[..., Awaitable[str]]
# Roles belong to the whole server, which several runs may share: so all use the same passwords.
ROLE_PASSWORDS = {
    f"ebbtide_{service}": f"test-{service}-password" for service in ("segmenter", "alerts", "api")
}
_ROLES_LOCK = 0x_EBB_7E57
# What lies in memory must not grow without need; nothing is slower for it there.
_IN_MEMORY = {**THROW_AWAY, "max_wal_size": "256MB"}


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database of one test: its address for the owner and for each service's role."""

    name: str
    owner: str
    segmenter: str
    alerts: str
    api: str


@contextmanager
def postgres_server() -> Iterator[str]:
    """Give the superuser's address of a server: $EBBTIDE_TEST_POSTGRES_DSN, or one just started."""
    if given := os.environ.get("EBBTIDE_TEST_POSTGRES_DSN"):
        yield given
        return
    with memory_directory() as directory:
        server = LocalPostgres(
            directory / "postgres",
            port=ports.any_free(),
            password=uuid.uuid4().hex,
            settings=_IN_MEMORY,
        )
        try:
            server.start()
            yield server.dsn()
        finally:
            server.stop_immediate()
            server.remove()


@contextmanager
def kafka_broker() -> Iterator[str]:
    """Give a broker's address: $EBBTIDE_TEST_KAFKA_BOOTSTRAP, or one just started."""
    if given := os.environ.get("EBBTIDE_TEST_KAFKA_BOOTSTRAP"):
        yield given
        return
    with scratch_directory() as directory:
        broker = LocalBroker(directory / "kafka", port=ports.any_free())
        try:
            format_quickly(broker)
            broker.start()
            yield broker.bootstrap
        finally:
            broker.kill()


@contextmanager
def template_database(server: str) -> Iterator[str]:
    """Make a migrated database to clone, and drop it afterwards."""
    name = f"ebbtide_template_{uuid.uuid4().hex[:12]}"
    apart(_make_template(server, name))
    try:
        yield name
    finally:
        apart(drop_database(server, name))


async def clone_database(server: str, template: str) -> Database:
    """Return a new database that is a copy of the template."""
    name = f"ebbtide_test_{uuid.uuid4().hex[:12]}"
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    return database(server, name)


async def new_database(server: str) -> Database:
    """Return a new migrated database, made without a template."""
    name = f"ebbtide_test_{uuid.uuid4().hex[:12]}"
    await _make_template(server, name)
    return database(server, name)


async def drop_database(server: str, name: str) -> None:
    await _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def database(server: str, name: str) -> Database:
    """Return the addresses of a migrated database."""
    services = {
        role.removeprefix("ebbtide_"): with_role(with_database(server, name), role, password)
        for role, password in ROLE_PASSWORDS.items()
    }
    return Database(name=name, owner=with_database(server, name), **services)


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, whether or not one runs here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _make_template(server: str, name: str) -> None:
    guard = await asyncpg.connect(server)
    try:
        # Roles and their passwords are shared: two runs at once would trip over each other.
        await guard.execute("SELECT pg_advisory_lock($1)", _ROLES_LOCK)
        await guard.execute(f"CREATE DATABASE {name}")
        await migrate(with_database(server, name))
        await set_passwords(with_database(server, name), ROLE_PASSWORDS)
    finally:
        await guard.close()


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
