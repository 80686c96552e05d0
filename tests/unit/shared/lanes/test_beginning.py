"""Where a claimed partition begins, and when it stops instead."""

import pytest

from shared.database.lease import Claim
from shared.kafka.consumer import Bounds
from shared.lanes.beginning import Beginning, beginning_of
from shared.lanes.limits import LostRecords


def begin(
    stored: int,
    *,
    beginning: int = 0,
    end: int = 100,
    made: tuple[str | None, str | None] = ("x", "x"),
    policy: LostRecords = LostRecords.FREEZE,
) -> Beginning:
    claim = Claim(epoch=3, next_offset=stored, watermark=None, incarnation=made[0])
    return beginning_of(claim, Bounds(beginning, end, made[1]), policy=policy)


@pytest.mark.parametrize("stored", [0, 10, 100])
def test_what_the_log_holds_is_gone_on_with(stored: int) -> None:
    assert begin(stored) == Beginning(stored)


def test_a_group_that_never_read_begins_with_what_is_left() -> None:
    assert begin(0, beginning=7, made=(None, "x")) == Beginning(7)


def test_removed_records_stop_the_partition_and_are_counted() -> None:
    found = begin(5, beginning=7)

    assert (found.offset, found.lost) == (5, 2)
    assert found.frozen_reason is not None


def test_removed_records_are_passed_over_where_the_policy_says_so() -> None:
    found = begin(5, beginning=7, policy=LostRecords.CONTINUE)

    assert found == Beginning(7, lost=2)


def test_a_log_that_ends_before_the_stored_offset_stops_the_partition() -> None:
    assert begin(101).frozen_reason is not None


def test_another_making_of_the_topic_stops_the_partition_though_the_offsets_fit() -> None:
    assert begin(10, made=("x", "y")).frozen_reason is not None


@pytest.mark.parametrize("made", [("x", None), (None, "x"), (None, None)])
def test_a_making_that_is_not_known_says_nothing(made: tuple[str | None, str | None]) -> None:
    assert begin(10, made=made) == Beginning(10)
