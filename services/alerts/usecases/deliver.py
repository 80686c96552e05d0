"""Send the notices that are due, outside any transaction, and record what each attempt came to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.alerts.domain.delivery import (
    Answer,
    Delivered,
    GiveUp,
    Next,
    Result,
    RetryPolicy,
    TryAgain,
    after_attempt,
)
from services.alerts.usecases.ports import Channel, Claimed, NotificationStore

NEVER_TOLD = Answer(Result.PERMANENT, "nobody was told of the alert")


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How much one process sends at once, and how long a claim keeps others away.

    The lease must outlast the channel's own time limit, or a notice in flight is sent by another.
    """

    at_once: int = 8
    lease_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt and what followed."""

    answer: Answer
    next: Next


async def deliver_due(
    channel: Channel,
    store: NotificationStore,
    *,
    policy: RetryPolicy,
    limits: DeliveryLimits,
    draw: Callable[[], float],
) -> list[Attempted]:
    """Attempt what is due now, at most `limits.at_once`. Raises StoreUnavailable."""
    claimed = await store.claim(channel.name, limit=limits.at_once, lease_s=limits.lease_s)
    attempts = [_attempt(channel, store, one, policy=policy, draw=draw()) for one in claimed]
    # Every attempt is finished and recorded before the first failure is told.
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Attempted)]


async def _attempt(
    channel: Channel,
    store: NotificationStore,
    claimed: Claimed,
    *,
    policy: RetryPolicy,
    draw: float,
) -> Attempted:
    answer = NEVER_TOLD if claimed.abandoned else await _send(channel, claimed)
    follows = after_attempt(
        answer, attempt=claimed.attempt, age_s=claimed.age_s, draw=draw, policy=policy
    )
    await _record(store, claimed, answer=answer, follows=follows)
    return Attempted(answer, follows)


async def _send(channel: Channel, claimed: Claimed) -> Answer:
    try:
        return await channel.send(claimed.body, delivery_id=claimed.delivery_id)
    except Exception as error:  # noqa: BLE001  a loop's attempt: one notice must not end the others
        return Answer(Result.UNKNOWN, f"not foreseen: {type(error).__name__}")


async def _record(
    store: NotificationStore, claimed: Claimed, *, answer: Answer, follows: Next
) -> None:
    match follows:
        case Delivered():
            await store.delivered(claimed, detail=answer.detail)
        case TryAgain(wait_s):
            await store.try_again(claimed, wait_s=wait_s, detail=answer.detail)
        case GiveUp(why):
            await store.given_up(claimed, detail=why)
