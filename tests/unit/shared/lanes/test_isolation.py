"""Refused records in a row are counted across batches."""

import pytest

from shared.kafka.records import Record
from shared.lanes.isolation import TooManyRefused, count_in_a_row
from shared.lanes.limits import Backoff, LaneLimits
from shared.lanes.work import Refused

RECORDS = [Record(offset, 0, None, b"") for offset in range(6)]


def refused(*offsets: int) -> list[Refused]:
    return [Refused(RECORDS[offset], "code", None, "reason") for offset in offsets]


@pytest.mark.parametrize(
    ("offsets", "before", "row"),
    [
        ((), 3, 0),
        ((5,), 3, 1),
        ((0, 1), 3, 0),
        ((3, 4, 5), 0, 3),
        ((0, 1, 2, 3, 4, 5), 3, 9),
    ],
)
def test_a_good_record_ends_the_row(offsets: tuple[int, ...], before: int, row: int) -> None:
    assert count_in_a_row(RECORDS, refused(*offsets), before=before, limit=10) == row


def test_an_idle_turn_does_not_end_the_row() -> None:
    assert count_in_a_row([], [], before=3, limit=10) == 3


def test_a_row_that_reaches_the_limit_inside_a_batch_is_too_many() -> None:
    with pytest.raises(TooManyRefused, match="4 records in a row"):
        count_in_a_row(RECORDS, refused(0, 1, 2), before=1, limit=4)


def test_delays_double_up_to_the_most_and_begin_anew() -> None:
    backoff = Backoff(LaneLimits(backoff_least_s=0.1, backoff_most_s=2.0))

    delays = [backoff.next_s() for _ in range(8)]
    backoff.reset()

    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert all(most / 2 <= delay <= most for delay, most in zip(delays, longest, strict=True))
    assert backoff.next_s() <= 0.1
