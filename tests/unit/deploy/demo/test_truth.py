"""The demo's own account of its people agrees with the definition, and with what it sends."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.history import History, moment
from deploy.demo.people import Cast
from deploy.demo.product import run_prefix
from deploy.demo.truth import LIFECYCLES, Truth
from tests.system import oracle

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

# Whole hours, so that gaps lie exactly on the thresholds now and then.
hours = st.lists(st.integers(0, 120 * 24), min_size=1, max_size=8).map(sorted)


@given(acted=hours, later=st.integers(0, 60 * 24))
def test_where_a_person_stands_is_what_the_definition_says(acted: list[int], later: int) -> None:
    activity = [START + hour * HOUR for hour in acted]
    now = activity[-1] + later * HOUR
    truth = Truth()

    truth.tell_all("ada", activity)

    assert truth.lifecycle("ada", now) == oracle.lifecycle(activity, now)


def test_everybody_is_counted_once_with_every_lifecycle_named() -> None:
    truth = Truth()
    truth.tell("ada", START)
    truth.tell("bob", START + timedelta(days=29))

    counts = truth.counts(START + timedelta(days=30))

    assert counts == dict.fromkeys(LIFECYCLES, 0) | {"churned": 1, "new": 1}


def test_what_is_sent_is_what_is_told_and_no_id_comes_twice() -> None:
    history = History(Cast(7, "demo"), people=120, until=START, months=6)
    truth = Truth()

    events = [event for number in range(120) for event in history.events(number, truth)]

    activity: dict[str, list[datetime]] = {}
    for event in events:
        activity.setdefault(event["userId"], []).append(moment(event))
    assert {user: truth.lifecycle(user, START) for user in activity} == {
        user: oracle.lifecycle(done, START) for user, done in activity.items()
    }
    assert all(done == sorted(done) and done[-1] < START for done in activity.values())
    assert len({event["messageId"] for event in events}) == len(events)
    assert all(number > 0 for number in truth.counts(START).values())
    assert {event["type"] for event in events} == {"identify", "page", "track", "feedback"}


def test_runs_tell_their_people_apart_and_the_same_seed_makes_the_same_ones() -> None:
    first, second = (run_prefix(START + number * timedelta(seconds=1)) for number in range(2))

    one, other = Cast(7, first).person(3), Cast(7, second).person(3)

    assert one.user_id != other.user_id
    assert (one.habit, one.joined, one.channel) == (other.habit, other.joined, other.channel)
