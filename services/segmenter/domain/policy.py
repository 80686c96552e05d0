"""The thresholds of the lifecycle, as one frozen and versioned object."""

from dataclasses import dataclass
from datetime import timedelta


class ContradictoryPolicy(ValueError):
    """The thresholds contradict each other; the message names them."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Durations of elapsed time, not of calendar days."""

    version: int
    new_for: timedelta
    silent_after: timedelta
    churned_after: timedelta
    returned_for: timedelta

    def __post_init__(self) -> None:
        if min(self.new_for, self.silent_after, self.returned_for) <= timedelta(0):
            raise ContradictoryPolicy("new_for, silent_after and returned_for must be positive")
        if self.churned_after <= self.silent_after:
            raise ContradictoryPolicy("churned_after must be longer than silent_after")

    @property
    def horizon(self) -> timedelta:
        """The longest time after an activity at which that activity alone still changes a state."""
        return max(self.new_for, self.churned_after, self.returned_for)
