"""Where a claimed partition begins, and when it must not begin at all. Pure."""

from dataclasses import dataclass

from shared.database.lease import Claim
from shared.kafka.consumer import Bounds
from shared.lanes.limits import LostRecords


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first offset to fold; how many records are gone for good; why the partition must stop."""

    offset: int
    lost: int = 0
    frozen_reason: str | None = None


def beginning_of(claim: Claim, bounds: Bounds, *, policy: LostRecords) -> Beginning:
    """Compare the stored offset with what the log holds."""
    stored = claim.next_offset
    if claim.incarnation is None and stored == 0:
        # Nobody has read this partition for this group: what the log holds is all there is.
        return Beginning(bounds.beginning)
    if None not in (claim.incarnation, bounds.incarnation) and (
        claim.incarnation != bounds.incarnation
    ):
        return Beginning(
            stored, frozen_reason="the topic was made anew: the stored offset means another log"
        )
    if stored > bounds.end:
        return Beginning(
            stored,
            frozen_reason=f"the log ends at {bounds.end}, before the stored offset {stored}",
        )
    if stored < bounds.beginning:
        return _after_retention(stored, bounds.beginning, policy)
    return Beginning(stored)


def _after_retention(stored: int, beginning: int, policy: LostRecords) -> Beginning:
    lost = beginning - stored
    if policy is LostRecords.CONTINUE:
        return Beginning(beginning, lost=lost)
    return Beginning(
        stored,
        lost=lost,
        frozen_reason=f"retention removed {lost} records that were not folded: "
        f"stored offset {stored}, the log begins at {beginning}",
    )
