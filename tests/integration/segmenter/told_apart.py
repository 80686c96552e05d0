"""Which channels a database tells apart, as the oracle needs to know it."""

from collections.abc import Iterable

from services.segmenter.domain.origin import Origin
from shared.database.connection import Connection
from tests.unit.segmenter.counting_oracle import Did

ALWAYS = {"unknown", "other"}


async def forget_channels(owner: Connection) -> None:
    """Let no channel be decided, as in a new database."""
    await owner.execute("UPDATE channels_book SET is_full = false; DELETE FROM channels")


async def channels(owner: Connection) -> list[str]:
    """Return those that are told apart, in the order in which they came."""
    rows = await owner.fetch("SELECT channel FROM channels ORDER BY place")
    return [row["channel"] for row in rows]


async def counted(owner: Connection, deeds: Iterable[Did]) -> list[Did]:
    """Return the deeds with the origins that users are counted under."""
    apart = {*await channels(owner), *ALWAYS}
    return [
        each._replace(origin=Origin("other", each.origin.platform))
        if each.origin.channel not in apart
        else each
        for each in deeds
    ]
