"""A user of whose days the log lost the first is judged by what it holds since, and by nothing that it can't know."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.rebuilding import AHEAD, Found, Reach, Row, Times, Verdict, judge
from services.segmenter.domain.replay import Deed, steps_of
from tests.unit.segmenter.test_replay import DAY, ORIGIN, POLICIES, START, folded, replayed

CALENDAR = Calendar(UTC)
END = START + 200 * DAY

instants = st.integers(0, 300).map(lambda half: START + half * DAY / 2)
# From as far ahead as an event may lie to very late.
delays = st.sampled_from([-AHEAD, -AHEAD / 2, timedelta(), timedelta(), DAY / 2, 9 * DAY, 60 * DAY])
deeds = st.builds(lambda at, late: Deed(at, at + late, 0), instants, delays)
histories = st.lists(deeds, min_size=1, max_size=25)
horizons = st.integers(0, 170).map(lambda days: START + days * DAY)


def found(stored: Profile, history: Sequence[Deed], held_since: datetime) -> Found:
    """Return the user as stored, with what is left of the log: of the first event the origin, too."""
    left = [deed for deed in history if deed.received_at >= held_since]
    tells_the_first = any(deed.at == stored.first_seen for deed in left)
    origin = ORIGIN if tells_the_first else Origin("seo", "ios")
    check_at = None if stored.deadline is None else stored.deadline.at
    row = Row("u", "1", stored, check_at, stored.first_seen)
    return Found("u", row, replayed([left]), origin, steps_of(stored, POLICIES))


def times(held_since: datetime) -> Times:
    return Times(POLICIES, {0: Reach(END, END)}, held_since)


def judged(each: Found, held_since: datetime) -> Verdict:
    return judge(each, times(held_since), CALENDAR)


@given(histories, horizons, st.sampled_from((START, END)))
def test_whatever_the_log_lost_a_user_who_is_right_does_not_differ(
    history: list[Deed], held_since: datetime, swept: datetime
) -> None:
    stored = folded(history, swept)

    verdict = judged(found(stored, history, held_since), held_since)

    assert not verdict.skipped
    assert (verdict.fields, verdict.steps) == ((), ())
    if verdict.partly:
        assert verdict.rebuilt is not None
        assert verdict.rebuilt.profile == stored
        assert verdict.rebuilt.steps == steps_of(stored, POLICIES)


@given(histories, horizons, st.data())
def test_a_transition_that_is_lost_or_never_was_since_then_is_told_and_an_earlier_one_is_not(
    history: list[Deed], held_since: datetime, data: st.DataObject
) -> None:
    stored = folded(history, END)
    right = found(stored, history, held_since)
    assume(judged(right, held_since).partly)
    lost = data.draw(st.sampled_from(right.standing))
    never = structs.replace(lost, at=data.draw(instants) + timedelta(seconds=1))
    standing = [*(step for step in right.standing if step is not lost), never]

    verdict = judged(replace(right, standing=standing), held_since)

    since = held_since + AHEAD
    expected = [("missing", lost)] if lost.at >= since else []
    expected += [("unexpected", never)] if never.at >= since else []
    assert [(each.what, each.step) for each in verdict.steps] == expected


def lost_all() -> tuple[Found, datetime]:
    """Return one who left before the log begins, and when that is."""
    held_since = START + 60 * DAY
    history = [Deed(START, START, 0), Deed(START + DAY, START + DAY, 0)]
    return found(folded(history, END), history, held_since), held_since


def damaged_in(each: Found, profile: Profile | None) -> Found:
    assert each.row is not None
    return replace(each, row=replace(each.row, profile=profile))


def test_of_whom_the_log_lost_all_and_the_row_can_not_be_read_nothing_is_judged() -> None:
    each, held_since = lost_all()

    verdict = judged(damaged_in(each, None), held_since)

    assert (verdict.skipped, verdict.differs) == (True, False)


def test_whose_row_has_a_partition_that_there_is_not_is_not_judged_by_how_far_it_is_folded() -> (
    None
):
    each, held_since = lost_all()
    assert each.stored is not None

    elsewhere = judged(damaged_in(each, structs.replace(each.stored, part=77)), held_since)

    assert (elsewhere.skipped, elsewhere.differs) == (True, False)


def test_where_the_log_goes_on_it_names_the_partition_that_a_wrong_one_is_mended_to() -> None:
    held_since = START + 60 * DAY
    history = [Deed(START, START, 0), Deed(START + 90 * DAY, START + 90 * DAY, 0)]
    each = found(folded(history, END), history, held_since)
    assert each.stored is not None

    wrong = judged(damaged_in(each, structs.replace(each.stored, part=77)), held_since)

    assert [(said.field, said.stored, said.rebuilt) for said in wrong.fields] == [("part", 77, 0)]


def test_whose_row_forgot_all_that_the_log_lost_but_when_it_began_is_not_judged_by_the_log_alone() -> (
    None
):
    held_since = START + 60 * DAY
    history = [Deed(START, START, 0), Deed(START + 90 * DAY, START + 90 * DAY, 0)]
    each = found(folded(history, END), history, held_since)
    assert each.stored is not None
    forgot = structs.replace(each.stored, spans=each.stored.spans[-1:])

    verdict = judged(damaged_in(each, forgot), held_since)

    assert (verdict.skipped, verdict.differs) == (True, False)


def test_in_another_zone_nobody_loses_the_last_day_before_the_log_holds_all() -> None:
    held_since = START + 60 * DAY + DAY / 2  # the zone's days begin at another time than the log's
    last = held_since + AHEAD - timedelta(hours=1)
    history = [Deed(last, last - AHEAD, 0), Deed(START + 90 * DAY, START + 90 * DAY, 0)]
    stored = folded(history, END)
    ahead = structs.replace(stored, days=ActiveDays.of(day + 1 for day in stored.days))

    verdict = judged(damaged_in(found(stored, history, held_since), ahead), held_since)

    assert verdict.rebuilt is not None
    assert verdict.rebuilt.profile.days == stored.days


@given(histories, horizons, st.data())
def test_activity_since_then_that_the_row_forgot_is_told(
    history: list[Deed], held_since: datetime, data: st.DataObject
) -> None:
    since = held_since + AHEAD
    known = [deed for deed in history if deed.at >= since]
    assume(known and len({deed.at for deed in history}) > 1)
    lost = data.draw(st.sampled_from(known)).at
    whole = folded(history, END)
    stored = folded([deed for deed in history if deed.at != lost], END)
    assume((stored.spans, stored.days) != (whole.spans, whole.days))
    damaged = found(stored, history, held_since)

    verdict = judged(damaged, held_since)

    assert verdict.differs
    if verdict.partly:
        assert verdict.rebuilt is not None
        assert verdict.rebuilt.profile.spans == whole.spans
        assert verdict.rebuilt.profile.days == whole.days
