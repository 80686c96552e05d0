"""When a lane looks who is due: not for every few events, and never longer than a moment later."""

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.inbound.sweeps import APART, Sweeps
from services.segmenter.usecases.sweep_deadlines import (
    BESIDE_EVENTS,
    FIRST_SWEEP,
    SWEEP_LIMIT,
    Swept,
)
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
    assert sweeps.is_time(EVENTS, at=0.0)
    sweeps.note(EVENTS, Swept(), at=0.0)

    assert not sweeps.is_time(EVENTS, at=0.0)
    assert not sweeps.is_time(later(APART - MOMENT), at=0.0)
    assert sweeps.is_time(later(APART), at=0.0)


def test_where_product_time_stands_still_it_looks_as_often(sweeps: Sweeps) -> None:
    """A policy or a merge makes users due, too."""
    sweeps.note(EVENTS, Swept(), at=0.0)

    assert not sweeps.is_time(EVENTS, at=0.09)
    assert sweeps.is_time(EVENTS, at=0.1)


def test_another_partition_looks_for_itself(sweeps: Sweeps) -> None:
    sweeps.note(EVENTS, Swept(), at=0.0)

    assert sweeps.is_time(replace(EVENTS, part=4), at=0.0)


def test_where_no_events_came_it_always_looks(sweeps: Sweeps) -> None:
    sweeps.note(EVENTS, Swept(), at=0.0)

    assert sweeps.is_time(replace(EVENTS, records=[]), at=0.0)


@pytest.mark.parametrize("left", [Swept(more_due=True), Swept(held_up=True)])
def test_where_something_was_left_events_do_not_wait_for_more_of_it_each_time(
    sweeps: Sweeps, left: Swept
) -> None:
    sweeps.note(EVENTS, left, at=0.0)

    assert not sweeps.is_time(later(10 * APART), at=0.09)
    assert sweeps.is_time(replace(EVENTS, records=[]), at=0.0)
    assert sweeps.is_time(later(10 * APART), at=0.1)


def test_a_watermark_that_is_behind_what_was_swept_is_looked_at(sweeps: Sweeps) -> None:
    """As where the product's clock was set back."""
    sweeps.note(EVENTS, Swept(), at=0.0)

    assert sweeps.is_time(later(-MOMENT), at=0.0)


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
    sweeps.note(EVENTS, left, at=0.0)

    assert sweeps.limit(batch, at=0.0) == limit


def test_while_events_come_by_any_partition_it_takes_less(sweeps: Sweeps) -> None:
    sweeps.see(EVENTS, at=5.0)
    sweeps.see(replace(EVENTS, part=4, records=[]), at=5.5)
    catching_up = replace(EVENTS, part=4, records=[], may_catch_up=True)

    assert sweeps.limit(catching_up, at=5.9) == BESIDE_EVENTS
    assert sweeps.limit(catching_up, at=6.0) == SWEEP_LIMIT


def test_what_is_due_gives_way_for_a_moment_after_each_event(sweeps: Sweeps) -> None:
    assert not sweeps.gives_way(at=0.0)

    sweeps.see(EVENTS, at=5.0)

    assert sweeps.gives_way(at=5.9)
    assert not sweeps.gives_way(at=6.0)
