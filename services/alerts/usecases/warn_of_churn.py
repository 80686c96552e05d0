"""Changes of users' lives → alerts raised and resolved, with the intents to tell people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.alerts.domain.alert import Alert, Change, alert_id_of, judge
from services.alerts.domain.notice import Notice, Step, notice
from services.alerts.usecases.ports import AlertBook
from shared.vocabulary import AlertKind, UserId

FORGET_AT_ONCE = 500


@dataclass(slots=True)
class Warned:
    """What a batch came to: alerts as they changed, in order, and churns too old to warn of.

    An alert raised and resolved by the same batch stands here twice.
    """

    changed: list[Alert] = field(default_factory=list)
    too_old: list[Change] = field(default_factory=list)


async def warn_of_churn(
    changes: Sequence[Change], *, book: AlertBook, channels: Sequence[str], now: datetime
) -> Warned:
    """Judge the changes in order and store what follows."""
    fresh = await book.unseen(changes, now=now)
    if not fresh:
        return Warned()
    # A retraction counts from wherever it stands: what it takes back never happened.
    gone = await book.retracted([change.transition_id for change in fresh if change.written])
    firing, warned_of = await _standing(fresh, book)
    warned = Warned()
    for change in fresh:
        if not (change.written and change.transition_id in gone):
            _judge_one(change, firing=firing, warned_of=warned_of, warned=warned, now=now)
    await book.save(_latest(warned.changed))
    await book.intend(_notices(warned.changed, channels))
    return warned


async def forget_old(book: AlertBook, *, now: datetime, seen_for: timedelta) -> None:
    """Let go of what was seen so long ago that the log no longer holds a repeat of it."""
    await book.forget_seen(now - seen_for, limit=FORGET_AT_ONCE)


async def _standing(
    fresh: Sequence[Change], book: AlertBook
) -> tuple[dict[UserId, Alert], set[UUID]]:
    """Return the open alert of each user, and the churns that have raised theirs already."""
    churns = [change.transition_id for change in fresh if change.churned and change.written]
    ids = {alert_id_of(AlertKind.USER_CHURNED, churn): churn for churn in churns}
    users = list({change.user_id for change in fresh})
    known = await book.alerts(firing_of=users, ids=list(ids))
    firing = {alert.user_id: alert for alert in known if alert.firing}
    return firing, {ids[alert.alert_id] for alert in known if alert.alert_id in ids}


def _judge_one(
    change: Change,
    *,
    firing: dict[UserId, Alert],
    warned_of: set[UUID],
    warned: Warned,
    now: datetime,
) -> None:
    verdict = judge(
        change,
        firing=firing.get(change.user_id),
        warned_of=change.transition_id in warned_of,
        now=now,
    )
    if verdict.resolved is not None:
        del firing[change.user_id]
        warned.changed.append(verdict.resolved)
    if verdict.raised is not None:
        firing[change.user_id] = verdict.raised
        warned.changed.append(verdict.raised)
    if verdict.too_old:
        warned.too_old.append(change)


def _latest(changed: Sequence[Alert]) -> list[Alert]:
    """Each alert once, as it ended, in the order in which they were first touched."""
    return list({alert.alert_id: alert for alert in changed}.values())


def _notices(changed: Sequence[Alert], channels: Sequence[str]) -> list[Notice]:
    return [
        notice(alert, Step.FIRED if alert.firing else Step.RESOLVED, channel)
        for alert in changed
        for channel in channels
    ]
