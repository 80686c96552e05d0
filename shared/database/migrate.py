"""`python -m shared.database.migrate`: bring the schema up to date, then set the roles' passwords.

Safe to run from several places at once: an advisory lock lets one migrator work, and the others
find nothing left to do.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from pydantic import Field, SecretStr
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.configuration import CommonSettings, PostgresSettings, load
from shared.errors import InvalidConfiguration

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x_EBB_71DE
# The topics' half of the same set-up step has variables of its own.
PROVISION_OTHERS = ("MIGRATE_REPLICATION", "MIGRATE_MIN_INSYNC_REPLICAS", "MIGRATE_PARTITIONS")


class MigrateSettings(CommonSettings, PostgresSettings):
    """`postgres_dsn` is the owner's: it may create tables and roles."""

    segmenter_password: SecretStr = Field(description="password of the role ebbtide_segmenter")
    alerts_password: SecretStr = Field(description="password of the role ebbtide_alerts")
    api_password: SecretStr = Field(description="password of the role ebbtide_api")


async def migrate(dsn: str, *, to: str = "head") -> None:
    """Apply every migration that the database lacks, up to one. Raises asyncpg's errors as they are."""
    engine = create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool
    )
    guard = await asyncpg.connect(dsn)
    try:
        await guard.execute("SELECT pg_advisory_lock($1)", _LOCK)
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, to)
            await connection.commit()
    finally:
        await guard.close()
        await engine.dispose()


async def set_passwords(dsn: str, passwords: dict[str, str]) -> None:
    """Give each role its password (role name → password)."""
    connection = await asyncpg.connect(dsn)
    try:
        for role, password in passwords.items():
            # Quoted by the server: ALTER ROLE takes no parameters.
            statement = await connection.fetchval(
                "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, password
            )
            await connection.execute(statement)
    finally:
        await connection.close()


def _upgrade(connection: Connection, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


async def _run(settings: MigrateSettings) -> None:
    dsn = settings.postgres_dsn.get_secret_value()
    await migrate(dsn)
    await set_passwords(
        dsn,
        {
            "ebbtide_segmenter": settings.segmenter_password.get_secret_value(),
            "ebbtide_alerts": settings.alerts_password.get_secret_value(),
            "ebbtide_api": settings.api_password.get_secret_value(),
        },
    )


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m shared.database.migrate", description=__doc__
    ).parse_args()
    try:
        settings = load(MigrateSettings, service="migrate", others=PROVISION_OTHERS)
    except InvalidConfiguration as error:
        print(f"migrate: {error}", file=sys.stderr)  # noqa: T201  a command's answer
        return 2
    asyncio.run(_run(settings))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
