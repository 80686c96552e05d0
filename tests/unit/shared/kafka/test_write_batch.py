"""The pure parts of the write path: what goes into a batch, and who is answered."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kafka import aiokafka_private as private
from shared.kafka.log import LogRecord, Outcome
from shared.kafka.write_batch import (
    BATCH_OVERHEAD,
    BatchOverflow,
    Entry,
    PartitionQueue,
    Request,
    build,
    halves,
    record_bytes,
)
from shared.kafka.write_budget import Account, Budget
from shared.kafka.write_limits import LogLimits

LIMITS = LogLimits(batch_bytes=400, batch_records=5)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def account(total: int = 1_000_000) -> Account:
    return Budget(total=total, share=1.0).account()


def request_of(size: int) -> Request:
    loop = asyncio.new_event_loop()
    try:
        return Request(size, loop.create_future())
    finally:
        loop.close()


def record(value: bytes = b"v", **fields: Any) -> LogRecord:
    return LogRecord(**{"topic": "t", "key": b"k", "timestamp_ms": 1, **fields, "value": value})


def entries_of(*values: bytes) -> list[Entry]:
    request = request_of(len(values))
    return [
        Entry(record(value), record_bytes(record(value)), request, position)
        for position, value in enumerate(values)
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
records = st.builds(
    LogRecord,
    topic=st.just("t"),
    key=st.none() | st.binary(max_size=300),
    value=st.binary(max_size=3_000),
    timestamp_ms=st.integers(0, 2**53),
    headers=st.lists(st.tuples(texts, st.binary(max_size=50)), max_size=5),
)


@given(st.lists(records, min_size=1, max_size=30))
def test_a_batch_never_takes_more_bytes_than_was_estimated(made: list[LogRecord]) -> None:
    builder = private.new_batch(10_000_000)

    for each in made:
        builder.append(
            timestamp=each.timestamp_ms, key=each.key, value=each.value, headers=each.headers
        )

    assert builder.size() <= BATCH_OVERHEAD + sum(record_bytes(each) for each in made)


@given(st.lists(st.integers(0, 600), min_size=1, max_size=40))
def test_batches_keep_the_order_and_the_limits_and_lose_nothing(sizes: list[int]) -> None:
    queue = PartitionQueue(account(), LIMITS)
    entries = entries_of(*(bytes(size) for size in sizes))
    for entry in entries:
        assert queue.push(entry)

    batches = []
    while batch := queue.next_batch():
        batches.append(batch)

    assert [entry for batch in batches for entry in batch] == entries
    for batch in batches:
        size = BATCH_OVERHEAD + sum(entry.size for entry in batch)
        assert len(batch) <= LIMITS.batch_records
        assert len(batch) == 1 or size <= LIMITS.batch_bytes


@given(
    st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=30),
    st.sampled_from([None, *Outcome]),
)
def test_every_byte_taken_from_the_budget_comes_back(
    sizes: list[tuple[int, bool]], first: Outcome | None
) -> None:
    budget = Budget(total=100_000, share=1.0)
    queue = PartitionQueue(budget.account(), LIMITS)
    for size, given_up in sizes:
        (entry,) = entries_of(bytes(size))
        queue.push(entry)
        if given_up:
            entry.request.give_up()

    if first is not None:
        queue.settle(queue.next_batch(), first)
    queue.drop_answered()
    while batch := queue.next_batch():
        queue.settle(batch, Outcome.ACCEPTED)

    assert budget.used == 0
    assert len(queue) == 0


def test_what_nobody_waits_for_any_longer_is_not_sent() -> None:
    queue = PartitionQueue(account(), LIMITS)
    first, second, third = (entries_of(value)[0] for value in (b"1", b"2", b"3"))
    for entry in (first, second, third):
        queue.push(entry)

    first.request.give_up()
    second.request.give_up()

    assert queue.next_batch() == [third]


def test_what_nobody_waits_for_in_the_middle_of_the_queue_is_not_sent_either() -> None:
    queue = PartitionQueue(account(), LIMITS)
    first, second, third = (entries_of(value)[0] for value in (b"1", b"2", b"3"))
    for entry in (first, second, third):
        queue.push(entry)

    second.request.give_up()

    assert queue.next_batch() == [first, third]


def test_a_full_budget_takes_no_more_until_bytes_come_back() -> None:
    (small,) = entries_of(bytes(100))
    queue = PartitionQueue(account(total=small.size), LIMITS)
    assert queue.push(small)

    assert not queue.push(small)

    queue.settle(queue.next_batch(), Outcome.ACCEPTED)
    assert queue.push(small)


def test_one_partition_takes_no_more_than_its_share() -> None:
    budget = Budget(total=1_000, share=0.25)
    greedy, modest = budget.account(), budget.account()

    assert greedy.take(250)
    assert not greedy.take(1)
    assert modest.take(250)


def test_all_partitions_together_take_no_more_than_the_budget() -> None:
    budget = Budget(total=1_000, share=0.75)
    first, second = budget.account(), budget.account()

    assert first.take(750)
    assert not second.take(251)
    assert second.take(250)


def test_the_first_answer_stands(loop: asyncio.AbstractEventLoop) -> None:
    request = Request(2, loop.create_future())

    request.answer(0, Outcome.ACCEPTED)
    request.give_up()
    request.answer(1, Outcome.ACCEPTED)

    assert request.done.done()
    assert request.answers() == [Outcome.ACCEPTED, Outcome.RETRY]


def test_a_request_is_done_with_its_last_record(loop: asyncio.AbstractEventLoop) -> None:
    request = Request(2, loop.create_future())

    request.answer(1, Outcome.ACCEPTED)
    assert not request.done.done()
    request.answer(0, Outcome.INVALID)

    assert request.done.done()


@pytest.mark.parametrize(
    "unfit",
    [
        record(headers=[("\ud800", b"lone surrogate")]),
        record(headers=[("name", "text instead of bytes")]),
        record(timestamp_ms=2**70),
        record(key="text instead of bytes"),
    ],
    ids=["header name", "header value", "timestamp", "key"],
)
def test_a_record_that_cannot_be_encoded_does_not_spoil_its_neighbours(unfit: LogRecord) -> None:
    request = request_of(3)
    entries = [
        Entry(each, 100, request, position)
        for position, each in enumerate([record(b"before"), unfit, record(b"after")])
    ]

    built = build(entries, lambda: private.new_batch(10_000))

    assert built.unfit == [entries[1]]
    assert built.fit == [entries[0], entries[2]]
    assert built.builder.record_count() == 2


def test_a_batch_that_took_fewer_records_than_it_was_given_is_never_sent() -> None:
    with pytest.raises(BatchOverflow):
        build(entries_of(bytes(900), bytes(900)), lambda: private.new_batch(1_000))


@given(st.integers(2, 50))
def test_halves_of_a_batch_are_the_batch_in_order(size: int) -> None:
    entries = entries_of(*(b"%d" % number for number in range(size)))

    first, second = halves(entries)

    assert [*first, *second] == entries
    assert first
    assert second
