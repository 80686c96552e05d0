"""Several ids that are one user: together they are who one id would be that had done it all."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells
from services.segmenter.domain.counting import count_change
from services.segmenter.domain.merge import Activity, Keeper, made_of, taken_apart, together
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import Arrivals, Change, Profile, advance, begin, pass_time
from tests.unit.segmenter.days import arrivals_of, unchanged

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICIES = Policies(Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY))
CALENDAR = Calendar(UTC)
UNKNOWN = Origin()

days = st.lists(st.integers(0, 120).map(lambda half: half / 2), min_size=1, max_size=8)
origins = st.builds(Origin, st.sampled_from(("mail", "search")), st.just("web"))


def at(day: float) -> datetime:
    return START + day * DAY


def one(user_id: str, done: list[float], origin: Origin = UNKNOWN, *, part: int = 0) -> Profile:
    arrivals = structs.replace(
        arrivals_of([at(each) for each in done], at(130), part=part), origin=origin
    )
    return begin(user_id, arrivals, POLICIES).profile


def merged(root: Profile, *others: Profile, until: datetime | None = None) -> Change:
    activity = together(map(Activity.of, (root, *others)), grain=POLICIES.grain)
    keeper = Keeper(root.user_id, root.part, root.revision, (0, 1))
    settled = root.settled if until is None else max(root.settled, until)
    return made_of(activity, POLICIES, keeper=keeper, before=root, until=settled)


@given(days, days, origins, origins)
def test_together_they_are_who_did_it_all_under_one_id(
    ann: list[float], bob: list[float], first: Origin, second: Origin
) -> None:
    change = merged(one("ann", ann, first), one("bob", bob, second))

    alone = one("ann", [*ann, *bob], min((min(ann), first), (min(bob), second))[1])
    expected = pass_time(unchanged(alone), change.profile.settled, POLICIES).profile
    assert structs.replace(change.profile, revision=0, also_parts=()) == expected


@given(days, days, days)
def test_the_order_in_which_ids_come_together_does_not_matter(
    ann: list[float], bob: list[float], cy: list[float]
) -> None:
    a, b, c = (Activity.of(one(name, done)) for name, done in (("a", ann), ("b", bob), ("c", cy)))
    grain = POLICIES.grain

    assert together([a, b, c], grain=grain) == together(
        [together([c, b], grain=grain), a], grain=grain
    )


@given(days, days)
def test_what_stood_is_retracted_and_what_stands_is_written(
    ann: list[float], bob: list[float]
) -> None:
    root = one("ann", ann)
    change = merged(root, one("bob", bob))

    stood = {step.key for step in begin("ann", _arrivals(ann), POLICIES).written}
    stands = stood - {step.key for step in change.retracted}
    stands |= {step.key for step in change.written}
    whole = begin("ann", _arrivals([*ann, *bob]), POLICIES)
    expected = pass_time(whole, change.profile.settled, POLICIES).written
    assert stands == {step.key for step in expected}
    assert change.profile.revision == bool(change.retracted)


@given(days, days, days)
def test_a_merge_and_what_comes_with_it_are_one_change(
    ann: list[float], bob: list[float], later: list[float]
) -> None:
    """None of its steps is both taken back and written: transitions have their ids by what they say."""
    change = merged(one("ann", ann), one("bob", bob))
    both = change.then(advance(change.profile, _arrivals(later), POLICIES))

    assert not {each.key for each in both.retracted} & {each.key for each in both.written}
    whole = one("ann", [*ann, *bob, *later])
    settled = pass_time(unchanged(whole), both.profile.settled, POLICIES).profile
    assert (both.profile.spans, both.profile.lifecycle) == (settled.spans, settled.lifecycle)


@given(days, days)
def test_the_counts_lose_what_two_were_and_gain_what_one_is(
    ann: list[float], bob: list[float]
) -> None:
    cells = Cells()
    for name, done in (("ann", ann), ("bob", bob)):
        _count(begin(name, _arrivals(done), POLICIES), cells)
    root = one("ann", ann)
    change = merged(root, one("bob", bob))
    _count(change, cells)
    _count(taken_apart(one("bob", bob), POLICIES), cells)

    alone = Cells()
    whole = begin("ann", _arrivals([*ann, *bob]), POLICIES)
    _count(pass_time(whole, change.profile.settled, POLICIES), alone)
    assert _without_zeros(cells) == _without_zeros(alone)


def test_nobody_is_made_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        together([], grain=POLICIES.grain)


def test_who_has_several_ids_stays_with_their_partition_and_notes_every_other() -> None:
    user = structs.replace(one("ann", [0.0]), also_parts=(0, 1))

    moved = advance(user, arrivals_of([at(1)], at(1), part=2), POLICIES).profile

    assert (moved.part, moved.also_parts) == (0, (0, 1, 2))


def _arrivals(done: list[float]) -> Arrivals:
    return arrivals_of([at(each) for each in done], at(130))


def _count(change: Change, cells: Cells) -> None:
    count_change(change, policies=POLICIES, calendar=CALENDAR, into=cells)


def _without_zeros(cells: Cells) -> list[dict[object, int]]:
    found = (cells.active, cells.begun, cells.retained, cells.flows)
    return [{key: count for key, count in each.items() if count} for each in found]
