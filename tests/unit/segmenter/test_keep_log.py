"""Room is made before it is needed, and a day goes only when nothing can need it any more."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from services.segmenter.usecases.keep_log import (
    DROPS_AT_ONCE,
    LEAST_KEPT,
    first_day_kept,
    keep_log,
    months_ahead,
)
from shared.contracts import topics
from tests.unit.segmenter.shelf import FakeShelf

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)
MONTH = timedelta(days=30)

instants = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=84_000)).map(
    lambda since: datetime(1970, 1, 1, tzinfo=UTC) + since
)


def days(first: int, last: int) -> set[date]:
    """Return the days so many before today, up to and with the last."""
    return {TODAY - number * DAY for number in range(last, first + 1)}


async def test_there_is_room_for_three_days_and_two_months_ahead() -> None:
    shelf = FakeShelf()

    await keep_log(shelf, now=NOW, keep_for=None)

    assert shelf.days == {TODAY, TODAY + DAY, TODAY + 2 * DAY, TODAY + 3 * DAY}
    assert shelf.months == {date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)}


@given(instants)
def test_the_months_ahead_follow_one_another(now: datetime) -> None:
    months = months_ahead(now)

    numbers = [each.year * 12 + each.month for each in months]
    assert numbers == [now.year * 12 + now.month + number for number in range(3)]
    assert {each.day for each in months} == {1}


async def test_a_log_that_is_kept_for_ever_loses_nothing() -> None:
    shelf = FakeShelf(folded=NOW, days=days(2_000, 1_000), patient=True)

    await keep_log(shelf, now=NOW, keep_for=None)

    assert (shelf.told, len(shelf.days)) == (None, 1_001 + 4)


async def test_a_horizon_that_an_operator_raised_is_followed_in_a_log_kept_for_ever() -> None:
    shelf = FakeShelf(folded=NOW, days=days(12, 9), raised=TODAY - 10 * DAY, told=TODAY - 10 * DAY)

    await keep_log(shelf, now=NOW, keep_for=None)

    assert min(shelf.days) == TODAY - 10 * DAY


async def test_the_horizon_is_told_before_a_day_is_dropped() -> None:
    shelf = FakeShelf(folded=NOW, days=days(32, 28))

    first = await keep_log(shelf, now=NOW, keep_for=MONTH)
    assert (first.dropped, shelf.told) == ([], TODAY - MONTH)

    shelf.raised = shelf.told
    second = await keep_log(shelf, now=NOW, keep_for=MONTH)
    assert second.dropped == [str(TODAY - 32 * DAY), str(TODAY - 31 * DAY)]
    assert min(shelf.days) == TODAY - MONTH


async def test_only_a_few_days_go_at_once() -> None:
    shelf = FakeShelf(folded=NOW, days=days(90, 30), raised=TODAY - MONTH, told=TODAY - MONTH)

    sizes = [
        len((await keep_log(shelf, now=NOW, keep_for=MONTH)).dropped) for _ in range(60 // 5 + 1)
    ]

    assert sizes == [DROPS_AT_ONCE] * 12 + [0]


async def test_a_drop_that_lanes_hold_up_is_put_off_and_what_went_before_it_is_told() -> None:
    shelf = FakeShelf(
        folded=NOW, days=days(34, 30), raised=TODAY - MONTH, told=TODAY - MONTH, busy_after=1
    )

    shortened = await keep_log(shelf, now=NOW, keep_for=MONTH)

    assert (shortened.dropped, shortened.put_off) == ([str(TODAY - 34 * DAY)], True)


async def test_a_horizon_that_was_told_is_let_come_true_before_it_rises_again() -> None:
    """Where product time is driven fast, each look would otherwise begin the wait anew."""
    shelf = FakeShelf(folded=NOW, days=days(40, 0))

    for number in range(5):
        shelf.folded = NOW + number * DAY
        await keep_log(shelf, now=shelf.folded, keep_for=MONTH)

    assert shelf.raises == [TODAY - MONTH]


async def test_what_no_lane_has_begun_to_fold_keeps_every_day() -> None:
    shelf = FakeShelf(folded=None, days=days(90, 30), patient=True)

    await keep_log(shelf, now=NOW, keep_for=MONTH)

    assert shelf.raises == []


async def test_a_log_that_holds_nothing_old_promises_as_much_as_ever() -> None:
    """Nothing was ever dropped there: whatever comes, it is new."""
    shelf = FakeShelf(folded=NOW, days=days(10, 0), patient=True)

    await keep_log(shelf, now=NOW, keep_for=MONTH)

    assert shelf.raises == []


@pytest.mark.parametrize("keep_for", [timedelta(days=23), timedelta(days=400)])
@given(now=instants, behind=st.timedeltas(min_value=-2 * DAY, max_value=900 * DAY))
def test_what_still_waits_and_its_duplicate_window_are_always_kept(
    keep_for: timedelta, now: datetime, behind: timedelta
) -> None:
    """Whatever comes next was received after all that is folded, or lies in Kafka for a replay."""
    folded = max(now - behind, datetime(1970, 1, 1, tzinfo=UTC))

    first = first_day_kept(now=now, folded_until=folded, keep_for=keep_for)

    assert first is not None
    begins = datetime(first.year, first.month, first.day, tzinfo=UTC)
    assert begins + DUPLICATE_WINDOW < min(now, folded)
    assert begins + DUPLICATE_WINDOW < min(now, folded) - timedelta(
        milliseconds=topics.EVENTS.retention_ms or 0
    )
    assert min(now, folded) - begins < keep_for + DAY


def test_a_time_longer_than_history_keeps_everything() -> None:
    assert first_day_kept(now=NOW, folded_until=NOW, keep_for=timedelta(days=1_000_000)) is None


def test_the_window_that_is_promised_is_never_longer_than_the_shortest_log() -> None:
    kafka = timedelta(milliseconds=topics.EVENTS.retention_ms or 0)

    assert DUPLICATE_WINDOW + kafka < LEAST_KEPT
