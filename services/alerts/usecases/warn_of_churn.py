"""Changes of users' lives → alerts raised and resolved, with the intents to tell people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.alerts.domain.alert import Alert, Change, alert_id_of, judge
from services.alerts.domain.notice import Notice, Step, notice
from services.alerts.usecases.ports import AlertBook
from shared.vocabulary import AlertKind, TransitionKind, UserId

FORGET_AT_ONCE = 500


@dataclass(slots=True)
class Warned:
    """What a batch came to: alerts as they changed, in order, and churns too old to warn of.

    An alert raised and resolved by the same batch stands here twice.
    """

    changed: list[Alert] = field(default_factory=list)
    too_old: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Standing:
    """What holds as the batch is judged, change by change.

    The open alert of each user, the churns that have raised theirs already, and when each user's
    lifecycle changed last. Records may come out of order: after partitions were added, two lanes
    write one user's history, and each sends its part by itself.
    """

    firing: dict[UserId, Alert]
    warned_of: set[UUID]
    latest: dict[UserId, datetime]


async def warn_of_churn(
    changes: Sequence[Change], *, book: AlertBook, channels: Sequence[str], now: datetime
) -> Warned:
    """Judge the changes in order and store what follows."""
    fresh = await book.unseen(changes, now=now)
    if not fresh:
        return Warned()
    # A retraction counts from wherever it stands: what it takes back never happened.
    gone = await book.retracted([change.transition_id for change in fresh if change.written])
    standing = await _standing(fresh, book)
    warned = Warned()
    for change in fresh:
        if not (change.written and change.transition_id in gone):
            _judge_one(change, standing=standing, warned=warned, now=now)
    await book.save(_latest(warned.changed))
    await book.intend(_notices(warned.changed, channels))
    return warned


async def forget_old(book: AlertBook, *, now: datetime, seen_for: timedelta) -> None:
    """Let go of what was seen so long ago that the log no longer holds a repeat of it."""
    await book.forget_seen(now - seen_for, limit=FORGET_AT_ONCE)


async def _standing(fresh: Sequence[Change], book: AlertBook) -> _Standing:
    churns = [change.transition_id for change in fresh if change.churned and change.written]
    ids = {alert_id_of(AlertKind.USER_CHURNED, churn): churn for churn in churns}
    users = list({change.user_id for change in fresh})
    known = await book.alerts(firing_of=users, ids=list(ids))
    firing = {alert.user_id: alert for alert in known if alert.firing}
    warned_of = {ids[alert.alert_id] for alert in known if alert.alert_id in ids}
    # What this batch brings counts from where it stands in it.
    latest = await book.latest(users, besides=[one.transition_id for one in fresh if one.written])
    return _Standing(firing, warned_of, latest)


def _judge_one(change: Change, *, standing: _Standing, warned: Warned, now: datetime) -> None:
    user = change.user_id
    latest = standing.latest.get(user)
    verdict = judge(
        change,
        firing=standing.firing.get(user),
        warned_of=change.transition_id in standing.warned_of,
        now=now,
        latest=latest,
    )
    if change.written and change.kind is TransitionKind.LIFECYCLE:
        standing.latest[user] = change.at if latest is None else max(latest, change.at)
    if verdict.resolved is not None:
        del standing.firing[user]
        warned.changed.append(verdict.resolved)
    if verdict.raised is not None:
        standing.firing[user] = verdict.raised
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
