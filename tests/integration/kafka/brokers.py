"""A broker that a test may stop, freeze and start again, and a reader that is not aiokafka."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from confluent_kafka import Consumer, KafkaException, TopicPartition

from deploy.local import ports
from deploy.local.broker import LocalBroker
from tests.brokers import format_quickly
from tests.scratch import scratch_directory

READ_WITHIN_S = 30.0


class OwnBroker:
    """A broker of the test's own."""

    def __init__(self, broker: LocalBroker) -> None:
        self._broker = broker
        self.bootstrap = broker.bootstrap

    def freeze(self) -> None:
        """Stop it in its tracks: it keeps its connections and answers nothing."""
        assert self._broker.process is not None
        self._broker.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._broker.process is not None
        if self._broker.process.poll() is None:
            self._broker.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._broker.stop()

    def kill(self) -> None:
        self._broker.kill()

    def start(self) -> None:
        self._broker.start()

    def start_if_ended(self) -> None:
        if self._broker.process is None or self._broker.process.poll() is not None:
            self._broker.start()

    async def topic(self, partitions: int = 3, **configs: str) -> str:
        """Make a topic; each further argument is a setting of it, with `_` for `.`."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        await self.make(name, partitions, **configs)
        return name

    async def make(self, name: str, partitions: int = 3, **configs: str) -> None:
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            answer = await admin.create_topics(
                [NewTopic(name, partitions, 1, topic_configs=settings)]
            )
            assert all(code == 0 for _, code, *_ in answer.topic_errors), answer
        finally:
            await admin.close()

    async def delete(self, name: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([name])
        finally:
            await admin.close()

    async def grow(self, name: str, partitions: int) -> None:
        """Add partitions to a topic."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_partitions({name: NewPartitions(partitions)})
        finally:
            await admin.close()

    async def read(self, topic: str) -> list[list[bytes]]:
        """Return the values of each partition in order, as another client finds them."""
        return await asyncio.to_thread(read_back, self.bootstrap, topic)


@contextmanager
def own_broker() -> Iterator[OwnBroker]:
    """Start a broker, and end it afterwards. Belongs on the main thread."""
    with scratch_directory() as directory:
        broker = LocalBroker(directory / "kafka", port=ports.any_free())
        try:
            format_quickly(broker)
            broker.start()
            yield OwnBroker(broker)
        finally:
            broker.kill()


def read_back(bootstrap: str, topic: str) -> list[list[bytes]]:
    """Return the values of every partition, from its beginning to what is now its end."""
    reader = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "verifier", "enable.auto.commit": False}
    )
    try:
        partitions = reader.list_topics(topic, timeout=READ_WITHIN_S).topics[topic].partitions
        return [_read_partition(reader, topic, number) for number in sorted(partitions)]
    finally:
        reader.close()


def _read_partition(reader: Consumer, topic: str, number: int) -> list[bytes]:
    first, end = reader.get_watermark_offsets(TopicPartition(topic, number), timeout=READ_WITHIN_S)
    reader.assign([TopicPartition(topic, number, first)])
    values: list[bytes] = []
    position = first
    while position < end:
        for message in reader.consume(min(10_000, end - position), timeout=READ_WITHIN_S):
            if message.error() is not None:
                raise KafkaException(message.error())
            values.append(message.value() or b"")
            position = (message.offset() or 0) + 1
    return values
