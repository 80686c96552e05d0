"""What accepting events needs of the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.ingest.domain.verdict import Admitted, Refusal


class Kept(StrEnum):
    """What became of something that should be kept in the log."""

    YES = "yes"  # acknowledged by every in-sync replica
    REFUSED = "refused"  # the log will never take it
    UNSURE = "unsure"  # not now, or not known: send it again


@dataclass(frozen=True, slots=True)
class Incoming:
    """An admitted event with the bytes it came in."""

    event: Admitted
    raw: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refused event, or a whole body, with the bytes it came in."""

    refusal: Refusal
    raw: bytes


class EventTopic(Protocol):
    """Where events and refusals go."""

    async def keep(
        self,
        incoming: Sequence[Incoming],
        rejected: Sequence[Rejected],
        *,
        source: str,
        received_at: datetime,
    ) -> tuple[list[Kept], list[Kept]]:
        """Append all of them, together, within a bounded time; return what became of each.

        An event with feedback is kept only when the feedback topic has it too. Never raises.
        """
        ...
