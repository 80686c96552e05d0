"""A user moves on: where activity only extends a span, where it rewrites history, where time acts."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from services.segmenter.domain.deadlines import Deadline, next_deadline, standing
from services.segmenter.domain.lifecycle import timeline
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import (
    Arrivals,
    Profile,
    adopt,
    advance,
    begin,
    pass_time,
)
from services.segmenter.domain.spans import Span
from shared.vocabulary import Lifecycle
from tests.unit.segmenter.days import arrivals_of, unchanged

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICIES = Policies(Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY))


def at(days: float) -> datetime:
    return START + days * DAY


def user(*days: float) -> Profile:
    return begin("u", arrivals(*days), POLICIES).profile


def arrivals(*days: float, part: int = 0, known_at: datetime = START) -> Arrivals:
    return arrivals_of([at(each) for each in days], known_at, part=part)


def test_a_user_begins_with_the_whole_history_of_their_first_batch() -> None:
    change = begin("u", arrivals(40, 0, 41), POLICIES)

    assert [step.after for step in change.written] == ["new", "silent", "churned", "returned"]
    assert (change.profile.first_seen, change.profile.last_seen) == (at(0), at(41))
    assert change.profile.event_count == 3
    assert change.retracted == ()


def test_a_long_history_that_comes_late_takes_no_square_of_its_length() -> None:
    """The batch's transaction waits meanwhile, and with it every lane of the process."""
    latest = user(20_000)
    comes = arrivals(*range(0, 20_000, 8))

    began = time.process_time()
    change = advance(latest, comes, POLICIES)

    assert (len(change.written), change.kept_until) == (5_001, None)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("seen", "comes", "written"),
    [
        (0, 3, []),
        (0, 7 - 1e-9, []),
        (0, 7, ["active"]),
        (0, 8, ["silent", "active"]),
        (0, 40, ["silent", "churned", "returned"]),
    ],
)
def test_an_activity_writes_what_became_true_by_then(
    seen: float, comes: float, written: list[str]
) -> None:
    change = advance(user(seen), arrivals(comes), POLICIES)

    assert [step.after for step in change.written] == written
    assert change.retracted == ()


def test_an_activity_on_another_day_is_more_than_an_extension() -> None:
    same, other = (advance(user(0, 0.2), arrivals(day), POLICIES) for day in (0.5, 1.5))

    assert (same.only_extended, list(same.profile.days)) == (True, [START.toordinal()])
    assert (other.only_extended, len(other.profile.days)) == (False, 2)


def test_an_activity_in_order_moves_the_deadline_with_it() -> None:
    change = advance(user(0, 8), arrivals(9), POLICIES)

    assert change.profile.deadline == Deadline(at(16), Lifecycle.SILENT)
    assert change.profile.spans == (Span(at(0), at(0)), Span(at(8), at(9)))


def test_a_period_that_runs_out_first_keeps_its_deadline() -> None:
    change = advance(user(0, 3), arrivals(4), POLICIES)

    assert change.profile.deadline == Deadline(at(7), Lifecycle.ACTIVE)


def test_the_latest_receipt_and_the_last_partition_are_kept() -> None:
    known = user(0)

    later = advance(known, arrivals(1, part=3, known_at=at(5)), POLICIES).profile
    earlier = advance(later, arrivals(2, part=1, known_at=at(4)), POLICIES).profile

    assert (later.known_at, later.part) == (at(5), 3)
    assert (earlier.known_at, earlier.part) == (at(5), 1)


def test_a_correction_counts_as_one_however_much_it_retracts() -> None:
    churned = pass_time(unchanged(user(0)), at(30), POLICIES).profile

    change = advance(churned, arrivals(5), POLICIES)

    assert [step.after for step in change.retracted] == ["silent", "churned"]
    assert change.profile.revision == 1


def test_a_late_activity_that_contradicts_nothing_is_no_correction() -> None:
    change = advance(user(0, 3), arrivals(2), POLICIES)

    assert (change.retracted, change.written, change.profile.revision) == ((), (), 0)


@pytest.mark.parametrize(
    ("until", "written", "deadline"),
    [
        (at(7) - MICROSECOND, [], at(7)),
        (at(7), ["silent"], at(30)),
        (at(30) - MICROSECOND, ["silent"], at(30)),
        (at(30), ["silent", "churned"], None),
        (at(9_999), ["silent", "churned"], None),
    ],
)
def test_time_writes_every_step_that_is_due_and_no_other(
    until: datetime, written: list[str], deadline: datetime | None
) -> None:
    change = pass_time(unchanged(user(0)), until, POLICIES)

    assert [step.after for step in change.written] == written
    found = change.profile.deadline
    assert (None if found is None else found.at) == deadline


def test_time_that_passes_twice_writes_once() -> None:
    once = pass_time(unchanged(user(0)), at(8), POLICIES)

    twice = pass_time(unchanged(once.profile), at(8), POLICIES)

    assert (twice.profile, twice.written) == (once.profile, ())


def test_a_deadline_that_another_policy_made_only_moves() -> None:
    slower = POLICIES.followed_by(Policy(2, 14 * DAY, 14 * DAY, 60 * DAY, 7 * DAY), at(1))

    change = pass_time(adopt(user(0), slower), at(8), slower)

    assert change.written == ()
    assert change.profile.lifecycle is Lifecycle.NEW
    assert change.profile.deadline == Deadline(at(14), Lifecycle.SILENT)


def test_the_steps_that_stand_at_an_instant_include_the_one_that_begins_there() -> None:
    steps = timeline((Span(at(0), at(0)),), POLICIES)

    assert [step.after for step in standing(steps, at(7))] == ["new", "silent"]
    assert [step.after for step in standing(steps, at(7) - MICROSECOND)] == ["new"]
    assert standing(steps, at(0) - MICROSECOND) == []


def test_the_next_deadline_lies_after_the_instant_not_at_it() -> None:
    steps = timeline((Span(at(0), at(0)),), POLICIES)

    assert next_deadline(steps, at(7) - MICROSECOND) == Deadline(at(7), Lifecycle.SILENT)
    assert next_deadline(steps, at(7)) == Deadline(at(30), Lifecycle.CHURNED)
    assert next_deadline(steps, at(30)) is None


def test_activity_that_only_changes_what_comes_next_is_an_extension() -> None:
    """The store writes the deadline, and looks when it looked for before: never later than that."""
    policies = Policies(Policy(1, 14 * DAY, 10 * DAY, 30 * DAY, 7 * DAY))
    before = begin("u", arrivals(0), policies).profile

    nearer, farther = (
        advance(before, structs.replace(arrivals(day), days=before.days), policies)
        for day in (2, 8)
    )

    assert before.deadline == Deadline(at(10), Lifecycle.SILENT)
    for change, deadline in (
        (nearer, Deadline(at(12), Lifecycle.SILENT)),
        (farther, Deadline(at(14), Lifecycle.ACTIVE)),
    ):
        assert (change.only_extended, change.profile.deadline) == (True, deadline)
