"""Fixtures of the tests that torment a broker of their own."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from shared.kafka.durable_log import DurableLog
from shared.kafka.write_limits import LogLimits
from shared.observability.metrics import Metrics
from tests.integration.kafka import logs
from tests.integration.kafka.brokers import OwnBroker, own_broker
from tests.integration.kafka.logs import MakeLog


@pytest.fixture(scope="package")
def broker_process() -> Iterator[OwnBroker]:
    with own_broker() as broker:
        yield broker


@pytest.fixture
def broker(broker_process: OwnBroker) -> Iterator[OwnBroker]:
    """A broker that runs when the test begins, whatever the one before did to it."""
    broker_process.thaw()
    broker_process.start_if_ended()
    yield broker_process
    broker_process.thaw()


@pytest_asyncio.fixture
async def make_log(broker: OwnBroker) -> AsyncIterator[MakeLog]:
    """A maker of logs that are ready: `log = await make_log(topic)`."""
    made: list[DurableLog] = []

    async def make(*topics: str, limits: LogLimits | None = None) -> DurableLog:
        log = DurableLog(
            bootstrap=broker.bootstrap,
            metrics=Metrics(CollectorRegistry()),
            client_id="test",
            limits=limits,
            topics=topics,
        )
        made.append(log)
        await log.start()
        await logs.until_ready(log)
        return log

    yield make
    for log in made:
        await log.close(drain_s=0.1)
