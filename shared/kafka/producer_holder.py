"""Keeps one working aiokafka producer at hand, and tells what became of each batch sent with it."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
)

from shared.kafka import aiokafka_private as private
from shared.kafka.log import Outcome
from shared.kafka.log_noise import quieten_aiokafka
from shared.kafka.write_limits import LogLimits
from shared.observability.logging import log
from shared.observability.metrics import LOG_PRODUCERS_REPLACED, Metrics

_logger = log(__name__)

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_INVALID = (CorruptRecordException, InvalidTimestampError, private.InvalidRecord)
_NOT_TRIED = "no broker has answered yet"


class ProducerHolder:
    """One producer at a time, built in the background and replaced only when it can't recover.

    An outage gives hundreds of failed sends, and none of them is a reason: the same producer finds
    the broker again. The two reasons are a sender task that has ended, and a send that is still
    unresolved long after every request must have timed out.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        client_id: str,
        metrics: Metrics,
        limits: LogLimits,
        topics: Iterable[str] = (),
    ) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._metrics = metrics
        self._limits = limits
        self._topics = set(topics)
        self._current: AIOKafkaProducer | None = None
        self._available = asyncio.Event()
        self._spoiled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.trouble = _NOT_TRIED

    def start(self) -> None:
        private.teach_missing_errors()
        quieten_aiokafka()
        self._keeper = asyncio.create_task(self._keep(), name="kafka-producer")

    async def close(self) -> None:
        """Let the producer go, whatever it is doing."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None

    @property
    def ended(self) -> bool:
        """Say whether nobody looks after the producer any more, which only a restart mends."""
        keeper = self._keeper
        return keeper is not None and keeper.done() and not keeper.cancelled()

    @property
    def available(self) -> bool:
        return self._current is not None

    def partition_count(self, topic: str) -> int | None:
        """Return how many partitions the topic has, as the broker last said; None: not known."""
        if self._current is None:
            return None
        partitions = self._current.client.cluster.partitions_for_topic(topic)
        return len(partitions) if partitions else None

    async def look_up(self, topic: str, *, within_s: float) -> None:
        """Ask the broker about a topic, and keep asking with every refresh from now on."""
        self._topics.add(topic)
        if self._current is not None:
            await asyncio.wait({self._refresh(self._current)}, timeout=within_s)

    async def send(self, batch: Any, *, topic: str, partition: int) -> Outcome:
        """Send the batch and return what became of it; RETRY: not known, send it again.

        Waits for a producer, and then for as long as aiokafka takes.
        """
        await self._available.wait()
        producer = self._current
        if producer is None or partition >= (self.partition_count(topic) or 0):
            self._note_trouble(f"the broker does not know {topic} partition {partition}")
            self._force_metadata_update()
            return Outcome.RETRY
        watchdog = asyncio.get_running_loop().call_later(
            self._limits.hung_s, self._spoil, producer, "a send is unresolved"
        )
        try:
            await (await producer.send_batch(batch, topic, partition=partition))
        except KafkaError as error:
            return self._judge(error)
        finally:
            watchdog.cancel()
        return Outcome.ACCEPTED

    def _judge(self, error: KafkaError) -> Outcome:
        if isinstance(error, _TOO_LARGE):
            return Outcome.TOO_LARGE
        if isinstance(error, _INVALID):
            return Outcome.INVALID
        # Whatever else it is, it is not the record's fault: even where Kafka calls the error
        # permanent (no right to write), the record is kept until someone mends the cause.
        self._note_trouble(_in_words(error))
        self._force_metadata_update()
        return Outcome.RETRY

    def _note_trouble(self, trouble: str) -> None:
        self.trouble = trouble

    def _force_metadata_update(self) -> None:
        if self._current is not None:
            self._current.client.force_metadata_update()

    def _refresh(self, producer: AIOKafkaProducer) -> "asyncio.Future[Any]":
        producer.client.set_topics(self._topics)
        update: asyncio.Future[Any] = producer.client.force_metadata_update()
        return update

    def _spoil(self, producer: AIOKafkaProducer, why: str) -> None:
        if producer is self._current:
            _logger.warning("producer_spoiled", why=why)
            self._metrics.count(LOG_PRODUCERS_REPLACED)
            self._let_go(f"the client was replaced: {why}")
            self._spoiled.set()

    def _let_go(self, trouble: str) -> None:
        self._current = None
        self._available.clear()
        self._note_trouble(trouble)

    async def _keep(self) -> None:
        while True:
            self._spoiled.clear()
            producer = await self._build()
            try:
                self._take_up(producer)
                await self._spoiled.wait()
            finally:
                self._let_go(self.trouble)
                await dispose(producer, within_s=self._limits.dispose_s)

    def _take_up(self, producer: AIOKafkaProducer) -> None:
        sender = private.sender_task(producer)
        assert sender is not None  # noqa: S101  it was started; narrows the type
        sender.add_done_callback(lambda _: self._spoil(producer, "its sender ended"))
        self._current = producer
        self.trouble = ""
        self._available.set()
        _logger.info("producer_started", client_id=self._client_id)

    async def _build(self) -> AIOKafkaProducer:
        delay = self._limits.first_delay_s
        while True:
            producer = self._new()
            try:
                await producer.start()
                await asyncio.wait({self._refresh(producer)}, timeout=self._limits.topic_wait_s)
            except (KafkaError, OSError, TimeoutError) as error:
                self._note_trouble(_in_words(error))
                await dispose(producer, within_s=self._limits.dispose_s)
            except BaseException:
                await dispose(producer, within_s=self._limits.dispose_s)
                raise
            else:
                return producer
            await asyncio.sleep(delay)
            delay = min(self._limits.last_delay_s, 2 * delay)

    def _new(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=False,
            linger_ms=0,
            request_timeout_ms=self._limits.request_timeout_ms,
            metadata_max_age_ms=self._limits.metadata_max_age_ms,
        )
        private.leave_retries_to_us(producer, ack_timeout_ms=self._limits.ack_timeout_ms)
        return producer


async def dispose(producer: AIOKafkaProducer, *, within_s: float) -> None:
    """Let a producer go so that it writes nothing afterwards.

    Its own `stop` waits for the sender, which goes on writing records that were given up. So:
    cut, cancel the sender, fail what is left, and only then close the client.
    """
    sender = private.sender_task(producer)
    if sender is not None:
        await _end(sender, producer, within_s)
        private.fail_all(producer, ProducerClosed())
    with contextlib.suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(producer.stop(), within_s)


async def _end(sender: "asyncio.Task[None]", producer: AIOKafkaProducer, within_s: float) -> None:
    sender.cancel()
    until = asyncio.get_running_loop().time() + within_s
    while not sender.done() and asyncio.get_running_loop().time() < until:
        private.cut_connections(producer)
        await asyncio.wait({sender}, timeout=within_s / 20)
    # Cancelled once, it waits for its requests; cancelled twice, it does not.
    while not sender.done():
        sender.cancel()
        private.cut_connections(producer)
        await asyncio.wait({sender}, timeout=within_s / 20)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
