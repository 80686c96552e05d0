"""A log says when nobody looks after its producer any more."""

import asyncio

from prometheus_client import CollectorRegistry

from shared.kafka.durable_log import DurableLog
from shared.observability.metrics import Metrics


async def test_a_log_whose_producers_keeper_failed_says_that_it_has_ended() -> None:
    # The settings refuse such an address; here it stands for any failure that was not foreseen.
    log = DurableLog(
        bootstrap="host:port", metrics=Metrics(CollectorRegistry()), client_id="test", topics=["t"]
    )
    assert log.ended() == ""

    await log.start()
    async with asyncio.timeout(10):
        while not log.ended():  # noqa: ASYNC110  a task of another part: there is no event to wait for
            await asyncio.sleep(0)

    assert log.ended() == "ended: producer"
    assert not log.health().ready
    await log.close(drain_s=0.1)
