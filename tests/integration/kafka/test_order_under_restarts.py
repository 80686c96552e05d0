"""Acknowledged records are there and in order, whatever happens to the broker meanwhile."""

import asyncio

import pytest

from shared.kafka.log import Log, Outcome
from shared.kafka.write_limits import LogLimits
from tests.integration.kafka import logs
from tests.integration.kafka.brokers import OwnBroker
from tests.integration.kafka.logs import MakeLog, numbered

pytestmark = pytest.mark.kafka

CLIENTS = 12


class Client:
    """Sends numbered records in small batches, one after the other, again where told to."""

    def __init__(self, topic: str, key: bytes) -> None:
        self.key = key
        self.accepted: list[bytes] = []
        self._topic = topic
        self._sent = 0

    async def send_on(self, log: Log, stop: asyncio.Event) -> None:
        while not stop.is_set():
            left = numbered(self._topic, 5, key=self.key, start=self._sent)
            self._sent += 5
            while left:
                outcomes = await log.append_many(left, deadline_s=2.0)
                told = list(zip(left, outcomes, strict=True))
                self.accepted += [each.value for each, told in told if told is Outcome.ACCEPTED]
                left = [each for each, told in told if told is not Outcome.ACCEPTED]
                await asyncio.sleep(0.05 if left else 0.005)


async def all_get_on(clients: list[Client]) -> None:
    """Wait until each client had fifty more records accepted."""
    goals = [(client, len(client.accepted) + 50) for client in clients]
    await logs.until(lambda: all(len(client.accepted) >= goal for client, goal in goals))


async def test_what_was_acknowledged_is_there_in_order_after_stops_kills_and_freezes(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(3)
    log = await make_log(topic, limits=LogLimits(stall_s=1.0))
    stop = asyncio.Event()
    clients = [Client(topic, b"user-%d" % number) for number in range(CLIENTS)]

    async with asyncio.TaskGroup() as sending:
        for client in clients:
            sending.create_task(client.send_on(log, stop))
        for torment in (broker.stop, broker.kill):
            await all_get_on(clients)
            await asyncio.to_thread(torment)
            broker.start()
        await all_get_on(clients)
        broker.freeze()
        await logs.until(lambda: log.health().oldest_unsettled_s > 5)
        broker.thaw()
        await all_get_on(clients)
        stop.set()

    values = [value for partition in await broker.read(topic) for value in partition]
    for client in clients:
        found = [value for value in values if value.startswith(client.key + b"-")]
        first_seen = list(dict.fromkeys(found))
        assert set(client.accepted) <= set(found)
        assert first_seen == sorted(first_seen)
