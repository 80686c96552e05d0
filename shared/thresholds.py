"""What thresholds of a policy may be: one rule for whoever writes them and whoever goes by them."""

from dataclasses import dataclass
from datetime import timedelta

LONGEST = timedelta(days=3_650)


class InvalidThresholds(ValueError):
    """A threshold is out of range or contradicts another; `field` is its name."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Durations of elapsed time. Raises InvalidThresholds."""

    new_for: timedelta
    silent_after: timedelta
    churned_after: timedelta
    returned_for: timedelta

    def __post_init__(self) -> None:
        for field in ("new_for", "silent_after", "churned_after", "returned_for"):
            duration: timedelta = getattr(self, field)
            if duration <= timedelta(0):
                raise InvalidThresholds(field, "must be positive")
            if duration > LONGEST:
                raise InvalidThresholds(field, f"must not be longer than {LONGEST.days:,} days")
        if self.churned_after <= self.silent_after:
            raise InvalidThresholds("churned_after", "must be longer than silent_after")
