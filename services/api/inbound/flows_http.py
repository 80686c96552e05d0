"""How many users went from one lifecycle to another, and how many stood in each before and after."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.domain import counts, periods
from services.api.domain.counts import NOBODY
from services.api.domain.periods import Period
from services.api.inbound.answers import Ages, Answer
from services.api.inbound.ranges import (
    By,
    Range,
    check_size,
    group_of,
    periods_of,
    refused,
    shown_value,
)
from services.api.usecases.ports import Snapshots
from shared.vocabulary import Lifecycle

MOST_DAYS_OF_HOURS = 31
MOST_SLOTS = 2_000
MOST_HOURS = 20_000  # that are added up, whatever they are shown as
_DAYS_OF_HOURS_SHOWN = 2


class Per(StrEnum):
    """How long a slot is; hours are those of the local clock."""

    HOUR = "hour"
    DAY = "day"


_HOURS_OF = {Per.HOUR: 1, Per.DAY: 24}


class Flow(BaseModel):
    """Transitions that stand. `before` is null where users came to be."""

    before: str | None
    after: str
    transitions: int


class Balance(BaseModel):
    """`start` + `arrived` - `left` = `end`, and `end` is the next slot's `start`."""

    start: int
    arrived: int
    left: int
    end: int


class Slot(BaseModel):
    """An hour or a day, and the local date in which it begins."""

    begin: datetime
    day: date
    flows: list[Flow]
    population: dict[Lifecycle, Balance]


class FlowGroup(BaseModel):
    """The users of one channel or platform; null: all users."""

    value: str | None
    slots: list[Slot]


class Flows(Answer):
    """Every slot of the range, for each group."""

    zone: str = Field(description="whose days and hours they are")
    per: Per
    by: By | None
    groups: list[FlowGroup]
    next_cursor: str | None


class Asked(Range):
    """The parameters."""

    per: Per = Per.DAY


def flows_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["flows"], dependencies=[Depends(reader)])

    @router.get("/v1/flows")
    async def get_flows(asked: Annotated[Asked, Query()]) -> Flows:
        """Return what flowed in each slot: without `from`, of the last 30 days, or 2 for hours."""
        async with snapshots.open() as snapshot:
            counters = snapshot.counters
            zone = await counters.zone()
            begins, end = _slots_of(asked, now=ages.now(), zone=zone)
            check_size(asked, numbers=len(begins), most=MOST_SLOTS)
            check_size(asked, numbers=len(begins) * _HOURS_OF[asked.per], most=MOST_HOURS)
            group, following = await group_of(
                asked,
                "flows",
                lambda by, behind, limit: counters.flow_values(
                    by, end=end, behind=behind, limit=limit
                ),
            )
            flowed = await counters.flows(group, begins, end=end) if begins else {}
            earlier = await counters.flows_before(group, begins[0]) if begins else {}
            age = await ages.of(snapshot)
        groups = [
            FlowGroup(
                value=shown_value(group, value),
                slots=_shown(begins, flowed.get(value, {}), earlier.get(value, ()), zone),
            )
            for value in group.values
        ]
        return Flows(
            zone=zone.key, per=asked.per, by=asked.by, groups=groups, next_cursor=following, **age
        )

    return router


def _slots_of(asked: Asked, *, now: datetime, zone: tzinfo) -> tuple[list[datetime], datetime]:
    """Return the beginnings of the slots that are asked for, and the end of the last."""
    today = periods.today(now, zone)
    if asked.per is Per.HOUR:
        asked = _with_fewer_days(asked, today)
    days = periods_of(asked, Period.DAY, today=today)
    if not days:
        return [], now
    begin = periods.midnight(days[0], zone)
    end = periods.midnight(Period.DAY.following(days[-1]), zone)
    if asked.per is Per.DAY:
        return [periods.midnight(day, zone) for day in days], end
    return [each for each in periods.hours(begin, end, zone) if each <= now], end


def _with_fewer_days(asked: Asked, today: date) -> Asked:
    end = asked.to or Period.DAY.following(today)
    first = asked.from_ or end - timedelta(days=_DAYS_OF_HOURS_SHOWN)
    if (end - first).days > MOST_DAYS_OF_HOURS:
        raise refused(asked.blame(), f"asks for the hours of more than {MOST_DAYS_OF_HOURS} days")
    return asked.model_copy(update={"from_": first})


def _shown(
    begins: Sequence[datetime],
    flowed: Mapping[int, Sequence[counts.Flow]],
    earlier: Sequence[counts.Flow],
    zone: tzinfo,
) -> list[Slot]:
    opening = counts.population(earlier, [each.value for each in Lifecycle])
    return [
        Slot(
            begin=slot.begin,
            day=periods.today(slot.begin, zone),
            flows=[
                Flow(
                    before=None if flow.before == NOBODY else flow.before,
                    after=flow.after,
                    transitions=flow.transitions,
                )
                for flow in slot.flows
            ],
            population={
                Lifecycle(lifecycle): Balance(
                    start=each.start, arrived=each.arrived, left=each.left, end=each.end
                )
                for lifecycle, each in slot.balance.items()
            },
        )
        for slot in counts.slots(begins, flowed, opening)
    ]
