"""aiokafka's log lines are held to a rate."""

import logging

import pytest

from shared.kafka.log_noise import RateFilter, quieten_aiokafka


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def line() -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "f", 1, "no node %s", (1,), None)


def test_a_flood_is_cut_to_a_burst_and_then_to_the_rate() -> None:
    clock = Seconds()
    limit = RateFilter(per_s=1, burst=5, clock=clock)

    at_once = [limit.filter(line()) for _ in range(1_000)]
    clock.now = 1.0
    later = [limit.filter(line()) for _ in range(1_000)]

    assert (sum(at_once), sum(later)) == (5, 1)


def test_the_next_line_tells_how_many_were_held_back() -> None:
    clock = Seconds()
    limit = RateFilter(per_s=1, burst=1, clock=clock)
    for _ in range(4):
        limit.filter(line())
    clock.now = 2.0

    passed = line()

    assert limit.filter(passed)
    assert passed.getMessage() == "no node 1 (3 lines held back)"


@pytest.mark.parametrize(
    "name", ["aiokafka", "aiokafka.conn", "aiokafka.producer.sender", "aiokafka.cluster"]
)
def test_every_logger_of_aiokafka_that_an_outage_floods_is_held(name: str) -> None:
    quieten_aiokafka()
    quieten_aiokafka()

    filters = logging.getLogger(name).filters

    assert sum(isinstance(each, RateFilter) for each in filters) == 1
