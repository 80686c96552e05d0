"""Remove what a deleted funnel counted, in small transactions."""

from typing import Final, Protocol

import msgspec

# Rows that one transaction removes: nobody waits for them, but it should end soon.
CHUNK = 5_000


class FunnelRemains(Protocol):
    """What is left of a funnel that counts no more. Every method may raise StoreUnavailable."""

    async def fence(self) -> int:
        """Return a number for `ended`: it stands for all transactions that have begun to write by now."""
        ...

    async def ended(self, fence: int) -> bool:
        """Say whether all the transactions that the number stands for have ended."""
        ...

    async def remove_users(self, funnel_id: int, *, limit: int) -> int:
        """Remove so many users' marks, and return how many there were."""
        ...

    async def remove_rest(self, funnel_id: int) -> None:
        """Remove its counts and its definition."""
        ...


class Remaining(msgspec.Struct, frozen=True):
    """How far a deletion is."""

    fence: int
    removed: int = 0


write_remaining: Final = msgspec.json.Encoder().encode
read_remaining: Final = msgspec.json.Decoder(Remaining).decode


async def delete_step(
    funnel_id: int, remaining: Remaining | None, *, remains: FunnelRemains, chunk: int = CHUNK
) -> tuple[Remaining | None, bool]:
    """Do the next piece; return how far it is, None at the end, and whether it waits for others.

    Nothing is removed before every batch that still counts for the funnel has ended.
    """
    if remaining is None:
        return Remaining(await remains.fence()), True
    if not await remains.ended(remaining.fence):
        return remaining, True
    removed = await remains.remove_users(funnel_id, limit=chunk)
    if removed:
        return Remaining(remaining.fence, remaining.removed + removed), False
    await remains.remove_rest(funnel_id)
    return None, False
