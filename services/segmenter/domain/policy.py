"""The thresholds of the lifecycle: each policy a frozen, versioned object, and since when each holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from shared.thresholds import InvalidThresholds, Thresholds

BEGINNING = datetime.min.replace(tzinfo=UTC)


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
        try:
            Thresholds(self.new_for, self.silent_after, self.churned_after, self.returned_for)
        except InvalidThresholds as error:
            raise ContradictoryPolicy(f"policy {self.version}: {error}") from None

    @property
    def horizon(self) -> timedelta:
        """The longest time after an activity at which that activity alone still changes a state."""
        return max(self.new_for, self.churned_after, self.returned_for)


@dataclass(frozen=True, slots=True)
class Reign:
    """A policy and when it holds: from `since` on, until right before `until`; None: to this day."""

    policy: Policy
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy that was ever activated. Each holds from its own instant on, until the next one's.

    `first` holds from the beginning of time. `later` are the others with their instants of product
    time; versions and instants both ascend.
    """

    first: Policy
    later: tuple[tuple[datetime, Policy], ...] = ()
    current: Policy = field(init=False, repr=False, compare=False)
    # The shortest silence that any of the policies knows: users' spans are kept that fine.
    grain: timedelta = field(init=False, repr=False, compare=False)
    reigns: tuple[Reign, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = [self.first, *(policy for _, policy in self.later)]
        order = [(BEGINNING, self.first.version), *((at, each.version) for at, each in self.later)]
        if any(later[0] <= at or later[1] <= version for (at, version), later in pairwise(order)):
            raise ContradictoryPolicy("policies must be activated in the order of their versions")
        object.__setattr__(self, "current", known[-1])
        object.__setattr__(self, "grain", min(each.silent_after for each in known))
        object.__setattr__(self, "reigns", tuple(self._reigns()))

    def at(self, instant: datetime) -> Policy:
        """Return the policy that holds at an instant."""
        for since, policy in reversed(self.later):
            if since <= instant:
                return policy
        return self.first

    def since(self, version: int) -> datetime:
        """Return from when on a version holds. Raises KeyError where it was never activated."""
        for reign in self.reigns:
            if reign.policy.version == version:
                return reign.since
        raise KeyError(version)

    def known_to(self, version: int) -> "Policies":
        """Return the policies as they were when that version was the newest."""
        return Policies(
            self.first, tuple(each for each in self.later if each[1].version <= version)
        )

    def followed_by(self, policy: Policy, since: datetime) -> "Policies":
        """Return the policies with one more, from that instant on. Raises ContradictoryPolicy."""
        return Policies(self.first, (*self.later, (since, policy)))

    def _reigns(self) -> Iterator[Reign]:
        since, policy = BEGINNING, self.first
        for until, successor in self.later:
            yield Reign(policy, since, until)
            since, policy = until, successor
        yield Reign(policy, since)
