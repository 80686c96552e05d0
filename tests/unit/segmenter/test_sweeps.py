"""When a lane looks who is due: not for every few events, and never longer than a moment later."""

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.inbound.sweeps import APART, Sweeps
from services.segmenter.usecases.sweep_deadlines import FIRST_SWEEP, SWEEP_LIMIT, Swept
from shared.contracts import topics
from shared.kafka.records import Record
from shared.lanes.work import Batch
from shared.observability.metrics import Metrics
from tests.integration.segmenter.kit import START

MOMENT = timedelta(milliseconds=1)
EVENTS = Batch(
    "segmenter", topics.EVENTS.name, 3, [Record(0, 0, None, b"")], now=START, watermark=START
)


@pytest.fixture
def sweeps() -> Sweeps:
    return Sweeps(Metrics(CollectorRegistry()))


def later(by: timedelta) -> Batch:
    return replace(EVENTS, watermark=START + by)


def test_events_wait_for_no_look_until_the_watermark_has_moved_on(sweeps: Sweeps) -> None:
    assert sweeps.is_time(EVENTS)
    sweeps.note(EVENTS, Swept())

    assert not sweeps.is_time(EVENTS)
    assert not sweeps.is_time(later(APART - MOMENT))
    assert sweeps.is_time(later(APART))


def test_another_partition_looks_for_itself(sweeps: Sweeps) -> None:
    sweeps.note(EVENTS, Swept())

    assert sweeps.is_time(replace(EVENTS, part=4))


def test_where_no_events_came_it_always_looks(sweeps: Sweeps) -> None:
    sweeps.note(EVENTS, Swept())

    assert sweeps.is_time(replace(EVENTS, records=[]))


@pytest.mark.parametrize("left", [Swept(more_due=True), Swept(held_up=True)])
def test_where_something_was_left_it_looks_again_at_once(sweeps: Sweeps, left: Swept) -> None:
    sweeps.note(EVENTS, Swept())
    sweeps.note(later(APART), left)

    assert sweeps.is_time(later(APART))


def test_a_watermark_that_is_behind_what_was_swept_is_looked_at(sweeps: Sweeps) -> None:
    """As where the product's clock was set back."""
    sweeps.note(EVENTS, Swept())

    assert sweeps.is_time(later(-MOMENT))


@pytest.mark.parametrize(
    ("batch", "left", "limit"),
    [
        (EVENTS, Swept(), FIRST_SWEEP),
        (replace(EVENTS, may_catch_up=True), Swept(), SWEEP_LIMIT),
        (EVENTS, Swept(held_up=True), SWEEP_LIMIT),
    ],
)
def test_it_takes_much_where_nobody_waits_or_the_first_few_are_held_up(
    sweeps: Sweeps, batch: Batch, left: Swept, limit: int
) -> None:
    sweeps.note(EVENTS, left)

    assert sweeps.limit(batch) == limit
