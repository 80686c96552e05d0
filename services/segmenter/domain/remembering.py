"""A user of whose days the event log lost the first: what their row says of those, and what the log says since."""

from collections.abc import Collection
from datetime import datetime, timedelta

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.replay import Replayed
from services.segmenter.domain.spans import Span, Spans, coarser


def remembered(
    stored: Profile,
    logged: Replayed | None,
    *,
    since: datetime,
    grain: timedelta,
    calendar: Calendar,
    partitions: Collection[int],
) -> Replayed | None:
    """Return all that the user did: up to `since` by their row, and by the log, which holds all that came then.

    None: neither tells. By the row the user was active on both sides of `since` without a silence, but the log
    knows of nothing near enough behind it; when they ended before, nobody knows any more. Or the row has forgotten
    what came before, or has a partition that there is not, and how far that is folded nobody knows.
    """
    if not _ends_are_known(stored.spans, logged, since, grain):
        return None
    lost = tuple(
        Span(each.start, min(each.end, since)) for each in stored.spans if each.start < since
    )
    own = {stored.part} & {*partitions}
    if not lost or (logged is None and not own):
        return None
    lost_days = _lost_days(stored, since, calendar)
    if logged is None:
        days = ActiveDays.of(lost_days or stored.days)
        return Replayed(
            lost, days, stored.event_count, stored.known_at, stored.part, frozenset(own)
        )
    return Replayed(
        coarser((*lost, *logged.spans), grain),
        logged.days.add(lost_days),
        max(stored.event_count, logged.event_count),
        logged.known_at,
        stored.part if own else logged.part,
        logged.parts | own,
    )


def _lost_days(stored: Profile, since: datetime, calendar: Calendar) -> set[int]:
    """Return the days that the row says, up to `since`.

    They may be those of another zone, of which the last is a day later here: no span is left without a day.
    """
    last = calendar.day_of(since)
    lost = {day for day in stored.days if day <= last}
    ends = (at for each in stored.spans for at in (each.start, each.end) if at < since)
    for day in {calendar.day_of(at) for at in ends}:
        if lost.isdisjoint((day - 1, day, day + 1)):
            lost.add(day)
    return lost


def _ends_are_known(
    spans: Spans, logged: Replayed | None, since: datetime, grain: timedelta
) -> bool:
    """Say whether the log goes on with a span that is cut in two, where there is one."""
    if not any(each.start < since < each.end for each in spans):
        return True
    if logged is None:
        return False
    following = min(
        (max(each.start, since) for each in logged.spans if each.end >= since), default=None
    )
    return following is not None and following - since < grain
