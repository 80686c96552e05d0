"""Says every beat that this worker is alive, and sees to it that the right lanes run."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.database import lease, session
from shared.database.connection import Connection, translated
from shared.database.lease import Holding, Partition, Worker
from shared.errors import RetryableError
from shared.kafka.consumer import partition_counts
from shared.lanes.crew import Crew
from shared.lanes.limits import Backoff
from shared.lanes.plan import Picture, plan_for
from shared.lanes.setup import LaneSetup
from shared.observability import metrics as m
from shared.observability.logging import log

_logger = log(__name__)

DEAD_ROWS_S = 3_600.0
# After somebody's lease ends, look at once, not at the next beat.
EXPIRY_SLACK_S = 0.05
# Wake-ups come in bursts: one look answers all that came this close together.
BURST_S = 0.02


@dataclass(slots=True)
class KeeperState:
    """What the last beats showed, for the health. Times are the event loop's."""

    beat_at: float | None = None
    trouble: str = "it has not begun"
    partitions: int = 0
    frozen: dict[Partition, str] = field(default_factory=dict)


class Keeper:
    """Beats on a connection of its own; only claims in the database decide who has what."""

    def __init__(self, group: str, topics: Sequence[str], setup: LaneSetup) -> None:
        self.state = KeeperState()
        self._group = group
        self._topics = topics
        self._setup = setup
        self._wake = asyncio.Event()
        self.crew = Crew(setup, ended=self._wake.set)
        self._counts: dict[str, int] = {}

    async def work(self) -> None:
        """Beat until cancelled. Errors close the connection and open another; lanes go on."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._survey())
            await self._keep_beating()

    async def _keep_beating(self) -> None:
        backoff = Backoff(self._setup.limits)
        while True:
            try:
                await self._serve(backoff.reset)
            except RetryableError as error:
                self.state.trouble = str(error)
                self._setup.metrics.count(m.KEEPER_BEATS, self._group, "failed")
                _logger.warning("keeper_restarts", group=self._group, error=str(error))
            self.crew.watch()
            await asyncio.sleep(backoff.next_s())

    async def leave(self) -> None:
        """Say goodbye: leaving, drain, release, delete the row; in this order. Raises retryables."""
        limits, name = self._setup.limits, (self._group, self._setup.worker)
        connection = await session.connect(self._setup.dsn, worker=self._setup.worker)
        try:
            with translated():
                # Others stop counting on us, and still may not take what we hold.
                await lease.leave(connection, *name, lease_s=limits.lease_s + limits.drain_s)
                await lease.notify(connection, self._group)
                await self.crew.drain(limits.drain_s)
                await lease.release_all(connection, *name)
                await lease.say_goodbye(connection, *name)
                await lease.notify(connection, self._group)
        finally:
            await session.close(connection)

    async def _serve(self, on_beat: Callable[[], None]) -> None:
        connection = await session.connect(self._setup.dsn, worker=self._setup.worker)
        connected_at = asyncio.get_running_loop().time()
        try:
            with translated():
                await lease.listen(connection, self._group, woken=self._wake.set)
                await lease.forget_dead(connection, self._group, dead_for_s=DEAD_ROWS_S)
            first = True
            while True:
                # Cleared before the beat: what comes during it must lead to another.
                self._wake.clear()
                with translated():
                    wait_s = await self._beat(connection, connected_at, joining=first)
                first = False
                on_beat()
                await self._rest(wait_s)
        finally:
            await session.close(connection)

    async def _beat(self, connection: Connection, connected_at: float, *, joining: bool) -> float:
        """Renew, look, act; return how long to wait for the next beat."""
        limits, worker = self._setup.limits, self._setup.worker
        await lease.beat(connection, self._group, worker, lease_s=limits.lease_s)
        if joining:
            await lease.notify(connection, self._group)
        workers = await lease.alive_workers(connection, self._group)
        holdings = await self._add_partitions(
            connection, await lease.holdings(connection, self._group, topics=self._topics)
        )
        now = asyncio.get_running_loop().time()
        await self._act(
            connection,
            workers,
            holdings,
            may_take_from_dead=now - connected_at >= limits.mercy_beats * limits.beat_s,
        )
        self._note(holdings, now)
        self.crew.watch()
        return self._wait_s(workers)

    async def _act(
        self,
        connection: Connection,
        workers: Sequence[Worker],
        holdings: Sequence[Holding],
        *,
        may_take_from_dead: bool,
    ) -> None:
        """Let the right lanes run. A lane is never stopped for what a picture says of its owner."""
        me, claimed = self._setup.worker, self.crew.claimed()
        owners = {
            each.partition: me if each.partition in claimed else each.owner
            for each in holdings
            if each.frozen_reason is None
        }
        picture = Picture(
            owners,
            live=frozenset(each.name for each in workers if not each.leaving) | {me},
            leaving=frozenset(each.name for each in workers if each.leaving) - {me},
        )
        plan = plan_for(me, picture, may_take_from_dead=may_take_from_dead)
        self.crew.release(plan.release)
        self.crew.begin([*plan.keep, *plan.claim])
        left = [each for each in plan.release if each not in self.crew.running()]
        for partition in left:  # ours by name only: a lane that could not give it up itself
            await lease.release(connection, partition, me)
        if left:
            await lease.notify(connection, self._group)

    async def _survey(self) -> None:
        """Ask Kafka now and then how many partitions there are; apart, for it must not delay a beat."""
        while True:
            wait_s = self._setup.limits.partitions_s
            try:
                counts = await partition_counts(
                    self._setup.bootstrap, self._topics, client_id=self._setup.worker
                )
            except RetryableError as error:
                _logger.warning("partitions_unknown", group=self._group, error=str(error))
                counts = {}
            if set(counts) != set(self._topics):
                wait_s = self._setup.limits.beat_s
            if counts != self._counts and counts:
                self._counts = counts
                self._wake.set()
            await asyncio.sleep(wait_s)

    async def _add_partitions(
        self, connection: Connection, holdings: Sequence[Holding]
    ) -> Sequence[Holding]:
        """Make rows for the partitions that Kafka has and the table has not."""
        wanted = {
            Partition(self._group, topic, part)
            for topic, count in self._counts.items()
            for part in range(count)
        }
        missing = sorted(wanted - {each.partition for each in holdings})
        if missing:
            await lease.add_partitions(connection, missing)
            await lease.notify(connection, self._group)
        return [*holdings, *(Holding(partition, None, None) for partition in missing)]

    def _note(self, holdings: Sequence[Holding], now: float) -> None:
        metrics, state = self._setup.metrics, self.state
        state.beat_at, state.trouble = now, ""
        state.partitions = len(holdings)
        state.frozen = {
            each.partition: each.frozen_reason
            for each in holdings
            if each.frozen_reason is not None
        }
        metrics.count(m.KEEPER_BEATS, self._group, "done")
        metrics.set(m.LANE_OWNED, len(self.crew.claimed()), self._group)
        metrics.set(m.LANE_FROZEN, len(state.frozen), self._group)

    def _wait_s(self, workers: Sequence[Worker]) -> float:
        limits = self._setup.limits
        jitter = random.uniform(-limits.beat_jitter, limits.beat_jitter)  # noqa: S311  spreads beats
        others = [each.remaining_s for each in workers if each.name != self._setup.worker]
        return min([limits.beat_s * (1 + jitter), *(left + EXPIRY_SLACK_S for left in others)])

    async def _rest(self, wait_s: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), wait_s)
        except TimeoutError:
            return
        await asyncio.sleep(BURST_S)
