"""A user replayed from the log is the user that the lanes made, in whatever pieces the log is read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells, active_cells, flow_cells, retention_cells
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import Profile, advance, begin, pass_time
from services.segmenter.domain.replay import (
    Deed,
    Keeper,
    Replay,
    Replayed,
    count_share,
    rebuild,
    steps_of,
)
from tests.unit.segmenter.days import arrivals_of

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICIES = Policies(Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY))
CALENDAR = Calendar(UTC)
ORIGIN = Origin("mail", "web")

half_days = st.integers(0, 300).map(lambda half: START + half * DAY / 2)
deeds = st.lists(st.builds(Deed, half_days, half_days, st.integers(0, 3)), min_size=1, max_size=40)


def replayed(pieces: Sequence[Sequence[Deed]]) -> Replayed | None:
    replay = Replay(grain=POLICIES.grain, calendar=CALENDAR)
    for piece in pieces:
        replay.add(piece)
    return replay.result()


@given(deeds, st.data())
def test_the_pieces_and_the_order_in_which_the_log_is_read_are_nothing(
    done: list[Deed], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(done))
    cuts = sorted({0, len(done), *data.draw(st.lists(st.integers(0, len(done)), max_size=5))})

    assert replayed([mixed[low:high] for low, high in pairwise(cuts)]) == replayed([done])


@given(deeds, st.integers(0, 400))
def test_the_user_is_the_one_that_the_lanes_made(done: list[Deed], until: int) -> None:
    """Folded in any batches, and with time passed up to an instant; and their share of the counts is it, too."""
    live = folded(done, START + until * DAY)
    whole = replayed([done])
    assert whole is not None
    keeper = Keeper("u", live, live.settled)

    rebuilt = rebuild(whole, ORIGIN, keeper=keeper, policies=POLICIES)

    assert rebuilt.profile == live
    assert rebuilt.steps == steps_of(live, POLICIES)


@given(deeds)
def test_a_share_that_is_added_and_taken_away_leaves_nothing(done: list[Deed]) -> None:
    live = folded(done, START + 400 * DAY)
    cells = Cells()

    count_share(live, steps_of(live, POLICIES), CALENDAR, cells)
    assert active_cells(cells)
    count_share(live, steps_of(live, POLICIES), CALENDAR, cells, gone=True)

    assert (active_cells(cells), retention_cells(cells), flow_cells(cells)) == ({}, {}, {})


def test_of_nobody_nothing_is_known() -> None:
    assert replayed([]) is None
    assert replayed([[]]) is None


def folded(done: Sequence[Deed], until: datetime) -> Profile:
    """Return the user after batches of three, as lanes fold them."""
    change = None
    for batch in (done[first : first + 3] for first in range(0, len(done), 3)):
        arrivals = arrivals_of(
            [deed.at for deed in batch],
            max(deed.received_at for deed in batch),
            part=max((deed.received_at, deed.part) for deed in done)[1],
        )
        arrivals = structs.replace(arrivals, origin=ORIGIN)
        change = (
            begin("u", arrivals, POLICIES)
            if change is None
            else advance(change.profile, arrivals, POLICIES)
        )
    assert change is not None
    return pass_time(change, until, POLICIES).profile
