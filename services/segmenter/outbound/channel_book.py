"""The channels that are told apart, in Postgres."""

from collections.abc import Collection
from uuid import UUID

from services.segmenter.domain.channels import Channels
from shared.database.connection import Connection, translated

# In one statement, so that they belong together.
_READ = """
SELECT version, is_full, ARRAY(SELECT channel FROM channels) AS apart FROM channels_book
"""
_ADMIT = "SELECT admit_channels($1, $2)"


async def read_channels(connection: Connection) -> tuple[UUID, Channels]:
    """Return the channels with the version that they are of. Raises StoreUnavailable."""
    with translated():
        row = await connection.fetchrow(_READ)
    assert row is not None  # noqa: S101  written by the migration
    return row["version"], Channels(row["apart"], is_full=row["is_full"])


async def admit_channels(
    connection: Connection, channels: Collection[str], *, most: int | None
) -> None:
    """Let those in for which there is room, in their order; if one must stay out, no other comes in any more.

    `most` None: as many as whoever said so last. Raises StoreUnavailable.
    """
    with translated():
        await connection.execute(_ADMIT, sorted(channels), most)
