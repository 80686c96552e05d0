"""What a user's history says: of a first event, of time that passes, and of events that come late."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.segmenter.usecases.sweep_deadlines import SWEEP_LIMIT
from shared.contracts.events import EventFlag
from shared.contracts.transitions import Evidence
from shared.vocabulary import TransitionReason, TransitionStatus
from tests.integration.segmenter.kit import DAY, START, Site, day, event
from tests.integration.segmenter.users import user_of

pytestmark = pytest.mark.postgres

MICROSECOND = timedelta(microseconds=1)


async def retracted(site: Site) -> list[tuple[Any, str]]:
    rows = await site.transitions()
    return [(row["at"], row["after"]) for row in rows if row["retracted_at"] is not None]


async def historical(site: Site) -> dict[str, bool]:
    """Return what stands, and whether it is history."""
    rows = await site.transitions()
    return {row["after"]: row["historical"] for row in rows if row["retracted_at"] is None}


def written(instant: datetime) -> str:
    """Return an instant as the wire has it, too."""
    return instant.isoformat().replace("+00:00", "Z")


async def test_a_first_event_makes_a_user_and_a_transition_that_says_why(site: Site) -> None:
    now = START + timedelta(minutes=3)

    await site.fold(event("u", START), now=now)

    user = await site.user()
    assert (user["lifecycle"], user["lifecycle_since"]) == ("new", START)
    assert (user["first_seen"], user["last_seen"], user["event_count"]) == (START, START, 1)
    assert (user["deadline"], user["deadline_to"]) == (day(7), "silent")
    (row,) = await site.transitions()
    assert (row["before"], row["after"], row["reason"]) == (None, "new", "first_activity")
    assert (row["at"], row["recorded_at"], row["policy_version"]) == (START, now, 1)
    evidence = {"source": "web", "event_id": f"u@{START.isoformat()}"}
    assert (json.loads(row["evidence"]), row["historical"]) == (evidence, False)


async def test_the_message_of_a_transition_leaves_with_it_and_says_the_same(site: Site) -> None:
    now = START + timedelta(minutes=3)

    await site.fold(event("u", START), now=now)

    (row,) = await site.transitions()
    (message,) = await site.messages()
    sent = await site.owner.fetchrow(
        "SELECT grp, part, topic, key, created_at FROM outbox_messages"
    )
    assert tuple(sent or ()) == ("segmenter", 0, "ebbtide.transitions.v1", b"u", now)
    assert (message.transition_id, message.user_id) == (row["transition_id"], "u")
    assert (message.before, message.after, message.at) == (None, "new", START)
    assert (message.recorded_at, message.status) == (now, TransitionStatus.WRITTEN)
    assert message.reason is TransitionReason.FIRST_ACTIVITY
    assert message.evidence == Evidence(source="web", event_id=f"u@{START.isoformat()}")


async def test_a_batch_that_fails_late_leaves_no_event_user_transition_or_message(
    site: Site,
) -> None:
    await site.room.ensure(days=[START.date()], months=[START.date()])
    await site.owner.execute("REVOKE INSERT ON outbox FROM ebbtide_segmenter")

    with pytest.raises(Exception, match="permission denied"):
        await site.fold(event("u", START))

    for table in ("users", "events", "transitions", "outbox", "dead_letters"):
        assert await site.count(table) == 0


async def test_events_that_are_nothing_a_user_did_are_kept_and_move_nobody(site: Site) -> None:
    await site.fold(event("u", START))

    await site.fold(event("u", day(3), active=False), event("v", day(3), active=False))

    user = await site.user()
    assert (user["last_seen"], user["event_count"]) == (START, 1)
    assert await site.count("events") == 3
    assert await site.count("users") == 1


async def test_time_dates_a_transition_at_its_deadline_and_says_on_what_it_rests(
    site: Site,
) -> None:
    await site.fold(event("u", START))

    await site.sweep(day(9))

    row = (await site.transitions())[-1]
    assert (row["at"], row["recorded_at"]) == (day(7), day(9))
    assert (row["before"], row["after"], row["reason"]) == ("new", "silent", "time_passed")
    evidence = {"last_seen": written(START), "silent_for_s": 7 * 86_400.0}
    assert json.loads(row["evidence"]) == evidence
    assert (await site.user())["deadline"] == day(30)


async def test_a_period_that_runs_out_says_since_when(site: Site) -> None:
    await site.fold(event("u", START), event("u", day(5)))

    await site.sweep(day(8))

    row = (await site.transitions())[-1]
    assert (row["at"], row["before"], row["after"]) == (day(7), "new", "active")
    assert json.loads(row["evidence"]) == {"since": written(START)}


async def test_weeks_away_and_day_by_day_end_in_the_same_history(site: Site) -> None:
    daily, away = user_of(0, of=2), user_of(1, of=2)
    await site.fold(event(daily, START), part=0)
    await site.fold(event(away, START), part=1)

    for number in range(41):
        await site.sweep(day(number), part=0)
    await site.sweep(day(40), part=1)

    steps = [(START, "new"), (day(7), "silent"), (day(30), "churned")]
    assert await site.history(daily) == await site.history(away) == steps
    one, other = await site.user(daily), await site.user(away)
    told = ("lifecycle", "lifecycle_since", "deadline", "first_seen", "last_seen", "revision")
    assert [one[each] for each in told] == [other[each] for each in told]


async def test_the_watermark_stops_time_whatever_the_clock_says(site: Site) -> None:
    await site.fold(event("u", START))

    await site.sweep(day(7) - MICROSECOND, now=day(100))

    assert await site.history() == [(START, "new")]


async def test_a_deadline_at_the_watermark_is_due(site: Site) -> None:
    await site.fold(event("u", START))

    await site.sweep(day(7), now=day(100))

    assert await site.history() == [(START, "new"), (day(7), "silent")]


async def test_without_a_watermark_no_time_passes(site: Site) -> None:
    await site.fold(event("u", START))

    await site.fold(now=day(100), watermark=None)

    assert await site.history() == [(START, "new")]


async def test_time_passes_for_a_partitions_own_users_only(site: Site) -> None:
    await site.fold(event("u", START), part=0)
    await site.fold(event("v", START), part=1)

    await site.sweep(day(7), part=1)

    assert await site.history("u") == [(START, "new")]
    assert await site.history("v") == [(START, "new"), (day(7), "silent")]


async def test_a_user_follows_the_partition_that_their_events_came_by_last(site: Site) -> None:
    await site.fold(event("u", START), part=0)
    await site.fold(event("u", day(1)), part=1)

    await site.sweep(day(50), part=0)
    before = await site.history()
    await site.sweep(day(50), part=1)

    assert before == [(START, "new")]
    assert (await site.history())[-1] == (day(31), "churned")


async def test_a_sweep_waits_for_nobody_whom_another_lane_has_in_hand(site: Site) -> None:
    """It holds users of its batch already: two lanes would wait for each other."""
    await site.fold(event("u", START), event("v", START))
    folding = site.owner.transaction()
    await folding.start()
    await site.owner.execute("SELECT FROM users WHERE user_id = 'u' FOR UPDATE")

    await site.sweep(day(7))
    meanwhile = await site.owner.fetch("SELECT user_id FROM users WHERE lifecycle = 'silent'")
    await folding.rollback()
    await site.sweep(day(7))

    assert meanwhile == [("v",)]
    assert await site.history("u") == [(START, "new"), (day(7), "silent")]


async def test_a_user_whom_another_lane_has_just_taken_is_not_swept(site: Site) -> None:
    """Its own watermark says nothing about what waits in the other partition."""
    taken, kept = user_of(1, of=2), user_of(0, of=2)
    await site.fold(event(taken, START), part=0)
    await site.fold(event(taken, START + DAY), part=1)
    await site.fold(event(kept, START), part=0)

    await site.sweep(day(9), part=0)

    assert await site.history(taken) == [(START, "new")]
    assert await site.history(kept) == [(START, "new"), (day(7), "silent")]


async def test_a_sweep_takes_the_earliest_first_and_asks_for_another_turn(site: Site) -> None:
    more = 7
    users = [f"u{number:05}" for number in range(SWEEP_LIMIT + more)]
    await site.fold(
        *(event(user, START + index * MICROSECOND) for index, user in enumerate(reversed(users))),
        now=START + DAY,
    )

    first = await site.sweep(day(8))
    left = await site.owner.fetch("SELECT user_id FROM users WHERE lifecycle = 'new' ORDER BY 1")
    second = await site.sweep(day(8))

    assert (first.more_due, second.more_due) == (True, False)
    assert [row["user_id"] for row in left] == users[:more]
    assert len(second.messages) == more


async def test_an_event_in_a_backlog_is_folded_before_its_users_time_passes(site: Site) -> None:
    await site.fold(event("u", START))

    await site.fold(event("u", day(6)), event("v", day(9)), now=day(9), watermark=day(9))

    assert await site.history() == [(START, "new"), (day(7), "active")]


async def test_a_late_event_retracts_what_it_contradicts_and_deletes_nothing(site: Site) -> None:
    await site.fold(event("u", START))
    await site.sweep(day(31))
    written = await site.transitions()

    await site.fold(event("u", day(5), received_at=day(32)))

    assert await site.history() == [(START, "new"), (day(7), "active"), (day(12), "silent")]
    assert await retracted(site) == [(day(7), "silent"), (day(30), "churned")]
    rows = {row["transition_id"]: row for row in await site.transitions()}
    assert {row["transition_id"] for row in written} <= rows.keys()
    corrected = [row for row in rows.values() if row["retracted_at"] is not None]
    assert {(row["retracted_at"], row["retracted_because"]) for row in corrected} == {
        (day(32), "a late event contradicts it")
    }
    assert (await site.user())["revision"] == 1


async def test_readers_hear_of_retractions_before_what_holds_instead(site: Site) -> None:
    await site.fold(event("u", START))
    await site.sweep(day(31))
    written = {each.transition_id: each for each in await site.messages()}
    await site.owner.execute("DELETE FROM outbox")

    await site.fold(event("u", day(5), received_at=day(32)), watermark=day(32))

    told = [(each.status, each.after) for each in await site.messages()]
    assert set(told[:2]) == {
        (TransitionStatus.RETRACTED, "silent"),
        (TransitionStatus.RETRACTED, "churned"),
    }
    assert told[2:] == [(TransitionStatus.WRITTEN, "active"), (TransitionStatus.WRITTEN, "silent")]
    for message in (await site.messages())[:2]:
        original = written[message.transition_id]
        assert (message.at, message.recorded_at) == (original.at, original.recorded_at)
        assert message.evidence == original.evidence
        assert message.retracted_because == "a late event contradicts it"


async def test_an_event_before_the_first_one_moves_the_beginning(site: Site) -> None:
    await site.fold(event("u", day(40)))

    await site.fold(event("u", day(0), received_at=day(41)))

    assert await retracted(site) == [(day(40), "new")]
    assert await site.history() == [
        (day(0), "new"),
        (day(7), "silent"),
        (day(30), "churned"),
        (day(40), "returned"),
    ]


async def test_a_step_that_is_corrected_keeps_the_event_it_rests_on(site: Site) -> None:
    """The event behind the return is not in the batch any more; what it replaces knows it."""
    await site.fold(event("u", day(40)))

    await site.fold(event("u", day(0), received_at=day(40.5)))

    returned = (await site.transitions())[-1]
    assert json.loads(returned["evidence"]) == {
        "source": "web",
        "event_id": f"u@{day(40).isoformat()}",
        "last_seen": written(day(0)),
        "silent_for_s": 40 * 86_400.0,
    }
    assert not returned["historical"]


async def test_two_late_events_correct_one_instant_twice_under_ids_of_their_own(
    site: Site,
) -> None:
    await site.fold(event("u", day(40)))
    await site.fold(event("u", day(0), received_at=day(41)))

    await site.fold(event("u", day(20), received_at=day(42)))

    rows = [row for row in await site.transitions() if row["at"] == day(40)]
    assert [(row["before"], row["after"]) for row in rows] == [
        (None, "new"),
        ("churned", "returned"),
        ("silent", "active"),
    ]
    assert [row["retracted_at"] for row in rows] == [day(41), day(42), None]
    assert len({row["transition_id"] for row in rows}) == 3


async def test_a_retracted_step_that_holds_again_is_written_under_another_id(site: Site) -> None:
    """A return that a late event makes, and a later one takes away: the silence is as it was."""
    await site.owner.execute("UPDATE policies SET returned_for = interval '20 days'")
    seen = [day(40), day(49)]
    await site.fold(*(event("u", at) for at in seen))
    await site.fold(event("u", day(0), received_at=day(50)))

    await site.fold(event("u", day(20), received_at=day(51)))

    rows = [row for row in await site.transitions() if row["at"] == day(49)]
    assert [(row["before"], row["after"], row["retracted_at"]) for row in rows] == [
        ("silent", "active", day(50)),
        ("silent", "returned", day(51)),
        ("silent", "active", None),
    ]
    ids: set[UUID] = {row["transition_id"] for row in rows}
    assert len(ids) == 3


async def test_a_repeat_of_a_late_event_corrects_nothing_again(site: Site) -> None:
    await site.fold(event("u", START))
    await site.sweep(day(31))
    await site.fold(event("u", day(5), received_at=day(32)))
    before = await site.transitions()

    await site.fold(event("u", day(5), received_at=day(33)))

    assert await site.transitions() == before


async def test_an_event_that_is_ahead_of_its_receipt_counts_from_where_it_is(site: Site) -> None:
    """Ingest lets a client's clock be some minutes ahead."""
    ahead = START + timedelta(minutes=9)

    await site.fold(event("u", ahead, received_at=START), watermark=START)
    await site.fold(event("u", START + timedelta(minutes=1)))

    user = await site.user()
    assert (user["first_seen"], user["last_seen"]) == (START + timedelta(minutes=1), ahead)
    assert await site.history() == [(START + timedelta(minutes=1), "new")]
    assert await retracted(site) == [(ahead, "new")]


async def test_what_ingest_did_to_an_events_time_is_kept_with_it(site: Site) -> None:
    clamped = event("u", START, flags=(EventFlag.CLAMPED_FUTURE, EventFlag.SKEW_CORRECTED))

    await site.fold(clamped)

    assert await site.owner.fetchval("SELECT flags FROM events") == [
        "clamped_future",
        "skew_corrected",
    ]
    assert await historical(site) == {"new": False}


async def test_an_event_older_than_the_live_window_is_history(site: Site) -> None:
    await site.fold(event("u", day(0), received_at=day(40)), watermark=day(40))

    assert await historical(site) == {"new": True, "silent": True, "churned": True}
    assert all(message.historical for message in await site.messages())


async def test_an_event_as_old_as_the_live_window_is_not_history(site: Site) -> None:
    await site.fold(event("u", START, received_at=START + DAY))
    await site.fold(event("v", START - MICROSECOND, received_at=START + DAY))

    assert [row["historical"] for row in await site.transitions("u")] == [False]
    assert [row["historical"] for row in await site.transitions("v")] == [True]


async def test_an_event_that_is_marked_as_history_is_history_however_new_it_is(site: Site) -> None:
    await site.fold(event("u", START, historical=True))

    assert await historical(site) == {"new": True}
    assert (await site.user())["last_seen"] == START


async def test_what_time_does_after_a_historical_event_is_live_again(site: Site) -> None:
    await site.fold(event("u", START, historical=True))

    await site.sweep(day(30))

    assert await historical(site) == {"new": True, "silent": False, "churned": False}


async def test_after_downtime_time_still_writes_live_transitions(site: Site) -> None:
    await site.fold(event("u", START))

    await site.sweep(day(90))

    assert await historical(site) == {"new": False, "silent": False, "churned": False}


async def test_an_import_that_time_catches_up_with_later_is_history_all_the_same(
    site: Site,
) -> None:
    """In a backlog the watermark is behind: the sweep after it finds the user as they came."""
    await site.fold(event("u", day(0), received_at=day(40)), watermark=None)

    await site.sweep(day(40))

    assert await historical(site) == {"new": True, "silent": True, "churned": True}


async def test_a_correction_of_what_is_long_past_warns_nobody(site: Site) -> None:
    await site.fold(event("u", day(0)), event("u", day(1)), event("u", day(60)))

    await site.fold(event("u", day(29), received_at=day(60)), watermark=day(60))

    written = [m for m in await site.messages() if m.status is TransitionStatus.WRITTEN]
    assert [(m.after, m.historical) for m in written if m.at == day(29)] == [("active", True)]
    assert [(m.after, m.historical) for m in written if m.at == day(59)] == [("churned", True)]


async def test_a_live_churn_that_a_late_event_moves_is_live_where_it_comes_to_lie(
    site: Site,
) -> None:
    await site.fold(event("u", day(0)))
    await site.sweep(day(30))

    await site.fold(event("u", day(5), received_at=day(60)), watermark=day(60))

    stands = await historical(site)
    assert stands == {"new": False, "active": True, "silent": True, "churned": False}


@pytest.mark.parametrize("returned", [30 + 1 / 24, 31, 60])
async def test_a_live_churn_that_is_moved_warns_nobody_once_the_user_is_back(
    site: Site, returned: float
) -> None:
    await site.fold(event("u", day(0)))
    await site.sweep(day(30))
    await site.fold(event("u", day(returned)), watermark=day(returned))

    late = event("u", day(1 / 48), received_at=day(returned + 0.1))
    await site.fold(late, watermark=day(returned + 0.1))

    rows = await site.transitions()
    moved = [row for row in rows if row["at"] == day(30 + 1 / 48)]
    assert [(row["after"], row["historical"]) for row in moved] == [("churned", True)]


async def test_a_churn_found_before_a_return_that_is_known_warns_nobody(site: Site) -> None:
    await site.fold(event("u", day(0)))
    await site.sweep(day(30))
    await site.fold(event("u", day(70)), watermark=day(70))

    late = event("u", day(39.9), received_at=day(70.1))
    await site.fold(late, watermark=day(70.1))

    rows = await site.transitions()
    found = [row["historical"] for row in rows if row["at"] == day(69.9)]
    assert found == [True]


async def test_a_churn_before_a_return_stays_history_though_a_live_one_is_moved(
    site: Site,
) -> None:
    await site.fold(event("u", day(100)))
    await site.sweep(day(130))

    late = [event("u", day(at), received_at=day(160)) for at in (0, 105)]
    await site.fold(*late, watermark=day(160))

    rows = await site.transitions()
    churns = {
        row["at"]: row["historical"]
        for row in rows
        if row["after"] == "churned" and row["retracted_at"] is None
    }
    assert churns == {day(30): True, day(135): False}


async def test_a_new_policy_moves_a_deadline_and_stops_no_lane(site: Site) -> None:
    """The deadline was made under the old one, and is none under the new."""
    await site.fold(event("u", START))
    await site.owner.execute(
        "INSERT INTO policies VALUES"
        " (2, '14 days', '14 days', '30 days', '7 days', 'slower', now(), $1)",
        day(1),
    )
    site.room.forget()

    await site.sweep(day(8))
    after_the_old_deadline = await site.history()
    await site.sweep(day(14))

    assert after_the_old_deadline == [(START, "new")]
    assert await site.history() == [(START, "new"), (day(14), "silent")]
