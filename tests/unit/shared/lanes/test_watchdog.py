"""The watchdog bites a lane that hangs, not one that waits, and gives up on the second time."""

from shared.database.lease import Partition
from shared.lanes.setup import Pulse
from shared.lanes.watchdog import Watchdog

PLACE = Partition("g", "t", 3)


def lane_at(position: int, now: float) -> Pulse:
    pulse = Pulse(alive_at=now, moved_at=now)
    pulse.begin_life(now)
    pulse.position = position
    return pulse


def test_a_lane_with_nothing_to_do_is_left_alone() -> None:
    dog, pulse = Watchdog(stuck_s=30), lane_at(5, 0)

    for second in range(200):
        pulse.note_turn(second, position=5, end=5)
        assert not dog.finds_stuck(PLACE, pulse, now=second)


def test_a_lane_whose_turn_does_not_end_is_stuck() -> None:
    dog, pulse = Watchdog(stuck_s=30), lane_at(5, 0)
    pulse.note_turn(1, position=6, end=9)

    assert not dog.finds_stuck(PLACE, pulse, now=30)
    assert dog.finds_stuck(PLACE, pulse, now=32)
    assert dog.hopeless == ""


def test_a_lane_that_turns_without_moving_while_there_is_more_is_stuck() -> None:
    dog, pulse = Watchdog(stuck_s=30), lane_at(5, 0)

    for second in range(31):
        pulse.note_turn(second, position=5, end=9)

    assert dog.finds_stuck(PLACE, pulse, now=31)


def test_a_broker_that_is_away_makes_no_lane_stuck() -> None:
    dog, pulse = Watchdog(stuck_s=30), lane_at(5, 0)

    for second in range(100):
        pulse.note_turn(second, position=5, end=None)
        assert not dog.finds_stuck(PLACE, pulse, now=second)


def test_stuck_again_without_progress_is_hopeless() -> None:
    dog = Watchdog(stuck_s=30)
    assert dog.finds_stuck(PLACE, lane_at(5, 0), now=31)

    assert dog.finds_stuck(PLACE, lane_at(5, 32), now=63)

    assert dog.hopeless == "t/3"


def test_progress_in_between_forgives() -> None:
    dog = Watchdog(stuck_s=30)
    assert dog.finds_stuck(PLACE, lane_at(5, 0), now=31)
    anew = lane_at(5, 32)
    anew.note_turn(33, position=8, end=9)
    assert not dog.finds_stuck(PLACE, anew, now=34)

    assert dog.finds_stuck(PLACE, anew, now=64)

    assert dog.hopeless == ""


def test_progress_after_the_second_time_ends_the_hopelessness() -> None:
    dog = Watchdog(stuck_s=30)
    assert dog.finds_stuck(PLACE, lane_at(5, 0), now=31)
    anew = lane_at(5, 32)
    assert dog.finds_stuck(PLACE, anew, now=63)

    anew.note_turn(64, position=8, end=9)

    assert not dog.finds_stuck(PLACE, anew, now=65)
    assert dog.hopeless == ""


def test_a_lane_that_does_not_end_when_told_is_hopeless_after_the_same_time_again() -> None:
    dog, hanging = Watchdog(stuck_s=30), lane_at(5, 0)
    assert dog.finds_stuck(PLACE, hanging, now=31)

    assert not dog.finds_stuck(PLACE, hanging, now=61)
    assert dog.hopeless == ""
    assert dog.finds_stuck(PLACE, hanging, now=62)

    assert dog.hopeless == "t/3"
