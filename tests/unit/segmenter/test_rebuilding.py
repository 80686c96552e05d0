"""What counts as a difference from the event log, and what does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from msgspec import structs

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.lifecycle import timeline
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import Profile, begin, pass_time
from services.segmenter.domain.rebuilding import Found, Reach, Row, Times, Verdict
from services.segmenter.domain.rebuilding import judge as judge_by
from services.segmenter.domain.replay import Deed, Replay, Replayed, steps_of
from tests.unit.segmenter.days import arrivals_of

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICIES = Policies(Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY))


def judge(found: Found, times: Times) -> Verdict:
    return judge_by(found, times, Calendar(UTC))


def at(days: float) -> datetime:
    return START + days * DAY


def times(*, swept: float = 50, folded: float = 50, held_since: float | None = None) -> Times:
    held = None if held_since is None else at(held_since)
    return Times(POLICIES, {0: Reach(at(swept), at(folded))}, held)


def log(*days: float) -> Replayed | None:
    replay = Replay(grain=POLICIES.grain, calendar=Calendar(UTC))
    replay.add([Deed(at(each), at(each), 0) for each in days])
    return replay.result()


def user(*days: float, passed: float | None = None) -> Profile:
    instants = [at(each) for each in days]
    change = begin("u", arrivals_of(instants, max(instants), part=0), POLICIES)
    return (change if passed is None else pass_time(change, at(passed), POLICIES)).profile


def found(
    profile: Profile | None, logged: Replayed | None, *, merged_into: str | None = None
) -> Found:
    """Return the user with the transitions that they say they stand for."""
    row, standing = None, []
    if profile is not None:
        check_at = None if profile.deadline is None else profile.deadline.at
        row = Row("u", "1", profile, check_at, profile.first_seen)
        standing = steps_of(profile, POLICIES)
    elif merged_into is not None:
        row = Row("u", "1", None, None, START, merged_into)
    return Found("u", row, logged, Origin(), standing)


def test_who_is_as_logged_does_not_differ() -> None:
    assert not judge(found(user(0, 1, passed=50), log(0, 1)), times()).differs


def test_what_is_due_and_waits_for_the_next_sweep_is_no_difference() -> None:
    assert not judge(found(user(0, 1), log(0, 1)), times()).differs


def test_what_was_passed_beyond_the_watermark_in_a_batch_is_no_difference() -> None:
    assert not judge(found(user(0, 1, passed=20), log(0, 1)), times(swept=2, folded=20)).differs


def test_a_sweep_that_would_come_too_late_is_a_difference() -> None:
    profile = user(0, 1)
    late = replace(found(profile, log(0, 1)), row=Row("u", "1", profile, at(99), at(0)))

    verdict = judge(late, times(swept=2, folded=2))

    assert [(each.field, each.rebuilt) for each in verdict.fields] == [("check_at", at(7))]


def test_a_lifecycle_since_an_instant_that_nobody_has_folded_is_a_difference() -> None:
    profile = structs.replace(user(0, 1), lifecycle_since=at(900))

    verdict = judge(found(profile, log(0, 1)), times(folded=2))

    assert {each.field for each in verdict.fields} == {"lifecycle_since"}
    assert verdict.rebuilt is not None
    assert verdict.rebuilt.profile.lifecycle_since == at(0)


def test_steps_that_are_missing_surplus_or_doubled_are_told_apart() -> None:
    profile = user(0, 1, passed=50)
    steps = steps_of(profile, POLICIES)
    wrong = structs.replace(steps[1], after=steps[0].after)
    damaged = replace(found(profile, log(0, 1)), standing=[steps[0], steps[0], wrong, *steps[2:]])

    verdict = judge(damaged, times())

    assert [(each.what, each.step) for each in verdict.steps] == [
        ("missing", steps[1]),
        ("doubled", steps[0]),
        ("unexpected", wrong),
    ]


def test_who_began_before_the_log_does_is_judged_by_it_from_there_on() -> None:
    profile = user(0, 20)
    horizon = times(held_since=10)

    verdict = judge(found(profile, log(20)), horizon)
    assert (verdict.partly, verdict.differs) == (True, False)
    assert not judge(found(profile, log(0, 20)), horizon).partly
    verdict = judge(found(profile, None), horizon)
    assert [each.rebuilt for each in verdict.fields if each.field == "last_seen"] == [at(0)]


def test_who_went_on_where_the_log_begins_is_skipped_unless_it_knows_of_more() -> None:
    profile = user(8, 14)
    horizon = times(held_since=10)

    assert judge(found(profile, log(14)), horizon).partly
    assert judge(found(profile, None), horizon).skipped
    assert judge(found(profile, log(18)), horizon).skipped


def test_who_began_after_the_log_did_is_judged_by_it() -> None:
    assert judge(found(user(20, 21), log(20)), times(held_since=10)).differs
    assert judge(found(user(20), None), times(held_since=10)).rebuilt is None


def test_an_id_that_is_nobodys_is_no_user_until_the_log_says_so() -> None:
    assert not judge(found(None, None, merged_into=""), times()).differs

    verdict = judge(found(None, log(0), merged_into=""), times())

    assert [(each.field, each.stored) for each in verdict.fields] == [("row", None)]


def test_who_is_missing_is_written_up_to_where_all_is_swept() -> None:
    verdict = judge(found(None, log(0, 1)), times(swept=12, folded=40))

    assert verdict.rebuilt is not None
    due = [step for step in timeline(verdict.rebuilt.profile.spans, POLICIES) if step.at <= at(12)]
    assert verdict.rebuilt.steps == due
    assert [each.step for each in verdict.steps] == due


def test_another_partition_than_any_by_which_events_came_is_a_difference() -> None:
    profile = structs.replace(user(0), part=5)

    verdict = judge(found(profile, log(0)), times())

    assert [(each.field, each.rebuilt) for each in verdict.fields] == [("part", 0)]


def test_an_id_of_another_user_is_a_tombstone_and_nothing_stands_of_it() -> None:
    right = replace(found(None, None, merged_into="ann"), home="ann")
    assert not judge(right, times()).differs

    for wrong in (found(None, None), found(None, None, merged_into="bob"), found(user(0), None)):
        verdict = judge(replace(wrong, home="ann"), times())
        assert [(each.field, each.rebuilt) for each in verdict.fields] == [("row", "an id of ann")]
        assert {each.what for each in verdict.steps} <= {"unexpected"}
        assert len(verdict.steps) == len(wrong.standing)


def test_an_id_that_no_claim_gives_away_is_nobodys_elses() -> None:
    verdict = judge(found(None, log(0), merged_into="ann"), times())

    assert [(each.stored, each.rebuilt) for each in verdict.fields] == [("an id of ann", "a user")]
