"""An event log in memory that keeps the ports `LogShelf` and `EndedJobs`."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime

from services.segmenter.usecases.keep_log import LogBusy


@dataclass
class FakeShelf:
    """`raised` is the horizon that is old enough to drop by; `patient` lets each horizon be that at once."""

    folded: datetime | None = None
    days: set[date] = field(default_factory=set)
    months: set[date] = field(default_factory=set)
    told: date | None = None
    raised: date | None = None
    patient: bool = False
    busy_after: int | None = None
    raises: list[date] = field(default_factory=list)
    ended_jobs: list[datetime] = field(default_factory=list)

    async def ensure(self, *, days: Collection[date], months: Collection[date]) -> None:
        self.days |= {day for day in days if self.told is None or day >= self.told}
        self.months |= set(months)

    async def oldest_day(self) -> date | None:
        return min(self.days, default=None)

    async def horizon(self) -> date | None:
        return self.told

    async def folded_until(self) -> datetime | None:
        return self.folded

    async def raise_horizon(self, day: date) -> None:
        self.raises.append(day)
        self.told = day
        if self.patient:
            self.raised = day

    async def drop_oldest(self) -> str | None:
        if self.busy_after is not None:
            if self.busy_after == 0:
                raise LogBusy("the lanes are busy")
            self.busy_after -= 1
        going = sorted(day for day in self.days if self.raised is not None and day < self.raised)
        if not going:
            return None
        self.days.discard(going[0])
        return str(going[0])

    async def forget(self, before: datetime, *, limit: int) -> int:
        going = sorted(at for at in self.ended_jobs if at < before)[:limit]
        for at in going:
            self.ended_jobs.remove(at)
        return len(going)
