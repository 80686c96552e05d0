"""Reading ahead: what came while nobody asked is there at once, in order, each record once."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import BrokerUnavailable
from shared.kafka.consumer import Fetched
from shared.kafka.records import Record
from shared.lanes.read_ahead import ReadAhead


class Log:
    """A partition that grows when told to, and hands out no more at once than it is asked for."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._place = 0
        self._grown = asyncio.Event()
        self.error: Exception | None = None
        self.asked = 0

    def grow(self, number: int) -> None:
        first = len(self._records)
        self._records += [Record(first + each, 0, None, b"") for each in range(number)]
        self._grown.set()

    def break_off(self, error: Exception) -> None:
        self.error = error
        self._grown.set()

    async def fetch(self, *, limit: int, timeout_s: float) -> Fetched:
        assert limit > 0
        self.asked += 1
        if self._place == len(self._records) and timeout_s > 0.1:
            self._grown.clear()
            await self._grown.wait()
        if self.error is not None:
            raise self.error
        taken = self._records[self._place : self._place + limit]
        self._place += len(taken)
        return Fetched(taken, self._place)


@pytest.fixture
def log() -> Log:
    return Log()


async def settled() -> None:
    """Let everything happen that can happen by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


def offsets(records: Sequence[Record]) -> list[int]:
    return [each.offset for each in records]


async def test_what_came_while_nobody_asked_is_there_at_once(log: Log) -> None:
    ahead = ReadAhead(log, most=10)
    for number in (2, 1):
        log.grow(number)
        await settled()

    taken = await ahead.take(8_000)

    assert (offsets(taken.records), taken.next_offset) == ([0, 1, 2], 3)
    assert not ahead.has_news
    await ahead.stop()


async def test_news_wakes_whoever_waits(log: Log) -> None:
    ahead = ReadAhead(log, most=10)
    waiting = asyncio.create_task(ahead.news())
    await settled()
    assert not waiting.done()

    log.grow(1)
    await settled()

    assert waiting.done()
    assert ahead.has_news
    await ahead.stop()


async def test_of_a_backlog_it_holds_no_more_than_it_may_and_gives_as_much_as_is_asked_for(
    log: Log,
) -> None:
    log.grow(100)
    ahead = ReadAhead(log, most=10)
    await settled()
    assert (ahead.is_full, log.asked) == (True, 1)

    first = await ahead.take(60)
    await settled()
    second = await ahead.take(60)

    assert (offsets(first.records), first.next_offset) == ([*range(60)], 60)
    assert (offsets(second.records), second.next_offset) == ([*range(60, 100)], 100)
    await ahead.stop()


async def test_who_asks_for_less_than_it_holds_gets_the_rest_next(log: Log) -> None:
    log.grow(10)
    ahead = ReadAhead(log, most=10)
    await settled()

    taken = [await ahead.take(4) for _ in range(3)]

    assert [offsets(each.records) for each in taken] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [each.next_offset for each in taken] == [4, 8, 10]
    await ahead.stop()


async def test_an_error_of_the_source_is_news_and_is_raised_to_whoever_takes(log: Log) -> None:
    ahead = ReadAhead(log, most=10)
    await settled()
    log.break_off(BrokerUnavailable("gone"))
    await settled()

    assert ahead.has_news
    with pytest.raises(BrokerUnavailable, match="gone"):
        await ahead.take(10)
    await ahead.stop()


async def test_what_came_before_an_error_is_handed_out_first(log: Log) -> None:
    log.grow(2)
    ahead = ReadAhead(log, most=10)
    await settled()
    log.break_off(BrokerUnavailable("gone"))
    await settled()

    taken = await ahead.take(10)

    assert (offsets(taken.records), taken.next_offset) == ([0, 1], 2)
    assert ahead.has_news
    with pytest.raises(BrokerUnavailable, match="gone"):
        await ahead.take(10)
    await ahead.stop()


async def test_after_a_stop_nothing_is_read_any_more(log: Log) -> None:
    ahead = ReadAhead(log, most=10)
    await settled()

    await ahead.stop()
    log.grow(5)
    await settled()

    assert log.asked == 1
