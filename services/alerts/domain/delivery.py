"""What follows an attempt to deliver a notice: done, try again at some time, or give up."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """What one attempt came to."""

    DELIVERED = "delivered"
    RETRY_AFTER = "retry_after"  # certainly not taken now, but it may be later
    PERMANENT = "permanent"  # this very notice will never be taken
    UNKNOWN = "unknown"  # it may have been taken: sent again under the same delivery id


@dataclass(frozen=True, slots=True)
class Answer:
    """A target's answer. `detail` is one short line of ours, never the target's own text."""

    result: Result
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the attempts: the first wait, its growth, its cap, and when to stop."""

    first_wait_s: float = 5.0
    growth: float = 3.0
    longest_wait_s: float = 3 * 3600.0
    attempts: int = 12
    give_up_after_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """Nothing more to do."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Another attempt, `wait_s` from now."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; the notice stays visible, with the reason."""

    why: str


Next = Delivered | TryAgain | GiveUp


def after_attempt(
    answer: Answer, *, attempt: int, age_s: float, draw: float, policy: RetryPolicy
) -> Next:
    """Return what follows attempt number `attempt` (from 1) of a notice `age_s` old.

    `draw` is a random number from 0 to 1: waits are spread over the upper half of their length, so
    that notices which failed together are not tried together.
    """
    if answer.result is Result.DELIVERED:
        return Delivered()
    if answer.result is Result.PERMANENT:
        return GiveUp(answer.detail)
    if attempt >= policy.attempts:
        return GiveUp(f"{answer.detail}, after {attempt} attempts")
    wait_s = _wait_s(answer, attempt=attempt, draw=draw, policy=policy)
    if age_s + wait_s > policy.give_up_after_s:
        return GiveUp(f"{answer.detail}, too old to be tried again")
    return TryAgain(wait_s)


def _wait_s(answer: Answer, *, attempt: int, draw: float, policy: RetryPolicy) -> float:
    # The exponent is bounded, or a long policy would overflow a float.
    grown = policy.first_wait_s * policy.growth ** min(attempt - 1, 60)
    own = min(grown, policy.longest_wait_s) * (0.5 + draw / 2)
    asked = min(answer.retry_after_s or 0.0, policy.longest_wait_s)
    return max(own, asked)
