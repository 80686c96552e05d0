"""Pools of connections to Postgres, with every wait bounded."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_WAIT_S = 5.0
_CONNECT_S = 5.0

# Changes come one at a time, from people: few connections, and apart from those that answer questions.
_WRITERS = 2
_WRITE_COMMAND_S = 7.0
_WRITE_BOUNDS = {
    "statement_timeout": "5s",
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "5s",
    "timezone": "UTC",
    "application_name": "ebbtide-api-writes",
}


def pool(dsn: str, *, size: int, command_s: float, bounds: Mapping[str, str]) -> AsyncEngine:
    """Return a pool of at most so many connections, which connects when it is first asked."""
    return create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged, and parameters are people's ids
        connect_args={
            "timeout": _CONNECT_S,
            "command_timeout": command_s,
            # No statement here runs so long that compiling it would pay.
            "server_settings": {"jit": "off", **bounds},
        },
    )


def writing_pool(dsn: str) -> AsyncEngine:
    """Return a small pool that may write, unlike the snapshots' own."""
    return pool(dsn, size=_WRITERS, command_s=_WRITE_COMMAND_S, bounds=_WRITE_BOUNDS)
