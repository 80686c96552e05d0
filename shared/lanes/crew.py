"""The lanes that run in this process: begun, released, watched and ended."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from shared.database.lease import Partition
from shared.lanes.lane import Lane
from shared.lanes.setup import LaneSetup
from shared.lanes.watchdog import Watchdog
from shared.observability import metrics as m
from shared.observability.logging import log

_logger = log(__name__)


@dataclass(frozen=True, slots=True)
class _Member:
    lane: Lane
    task: "asyncio.Task[None]"


class Crew:
    """At most one lane of each partition. `ended` is called whenever one is over."""

    def __init__(self, setup: LaneSetup, *, ended: Callable[[], None]) -> None:
        self._setup = setup
        self._ended = ended
        self._members: dict[Partition, _Member] = {}
        self._watchdog = Watchdog(stuck_s=setup.limits.stuck_s)

    def claimed(self) -> frozenset[Partition]:
        """Return the partitions whose lane has claimed them and has not ended."""
        return frozenset(place for place, each in self._members.items() if each.lane.claimed)

    def running(self) -> frozenset[Partition]:
        """Return the partitions that have a lane here, claimed or not."""
        return frozenset(self._members)

    def begin(self, partitions: Iterable[Partition]) -> None:
        """Start a lane for each partition that has none."""
        for partition in partitions:
            if partition not in self._members:
                lane = Lane(partition, self._setup)
                task = asyncio.create_task(self._work(lane))
                self._members[partition] = _Member(lane, task)

    def release(self, partitions: Iterable[Partition]) -> None:
        """Ask the lanes of these partitions to give them up."""
        for partition in partitions:
            if partition in self._members:
                self._members[partition].lane.release()

    async def drain(self, seconds: float) -> None:
        """Ask every lane to give up and wait; cut off those that are not done in time."""
        self.release(list(self._members))
        tasks = {each.task for each in self._members.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        await self.cut()

    async def cut(self) -> None:
        """End every lane where it stands; what it had not committed is rolled back."""
        tasks = {each.task for each in self._members.values()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def watch(self) -> None:
        """Start anew each lane that makes no progress though it should, or does not end."""
        now = asyncio.get_running_loop().time()
        for partition, member in list(self._members.items()):
            if self._watchdog.finds_stuck(partition, member.lane.pulse, now=now):
                self._setup.metrics.count(m.LANE_STUCK, partition.group)
                _logger.error("lane_stuck", topic=partition.topic, part=partition.part)
                member.task.cancel()

    def hopeless(self) -> str:
        """Name a partition whose lane was stuck again though it was started anew; empty: none."""
        return self._watchdog.hopeless

    def trouble(self) -> str:
        """Say why a lane has not folded for too long; empty: all of them do."""
        now = asyncio.get_running_loop().time()
        for partition, member in sorted(self._members.items()):
            pulse = member.lane.pulse
            silent_s = now - (pulse.folded_at or -1e9)
            if silent_s > self._setup.limits.unready_s:
                why = pulse.trouble or "it has not begun"
                return f"{partition.topic}/{partition.part}: {why}"
        return ""

    async def _work(self, lane: Lane) -> None:
        try:
            ending = await lane.work()
            _logger.info(
                "lane_ended", topic=lane.partition.topic, part=lane.partition.part, why=ending
            )
        finally:
            lane.claimed = False
            self._forget(lane.partition)
            self._ended()

    def _forget(self, partition: Partition) -> None:
        self._members.pop(partition, None)
        names = (partition.group, partition.topic, str(partition.part))
        for metric in (m.LANE_LAG_RECORDS, m.LANE_WATERMARK_AGE_SECONDS):
            with suppress(KeyError):
                self._setup.metrics.forget(metric, *names)
