"""The one kind of connection that lanes and stores work on, and how its errors are told apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from shared.errors import RejectedByStore, StoreUnavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection  # generic in its stubs only

# The data itself is refused: the same statement with the same data fails again.
_REJECTED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
UNAVAILABLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise RejectedByStore or StoreUnavailable in place of the driver's errors."""
    try:
        yield
    except _REJECTED as error:
        raise RejectedByStore(f"{type(error).__name__}: {error}") from error
    except UNAVAILABLE as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
