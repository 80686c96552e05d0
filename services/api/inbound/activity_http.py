"""How many users were active: by day, week or month, new and returning."""

from collections.abc import Callable
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.domain import periods
from services.api.domain.periods import Period
from services.api.inbound.answers import Ages, Answer
from services.api.inbound.ranges import By, Range, check_size, group_of, periods_of, shown_value
from services.api.usecases.ports import Snapshots

MOST_NUMBERS = 20_000


class ActivePeriod(BaseModel):
    """`users` = `new` (whose first active day is in it) + `returning`."""

    start: date
    users: int
    new: int
    returning: int
    complete: bool = Field(description="false: it still runs")


class ActiveGroup(BaseModel):
    """The users of one channel or platform; null: all users."""

    value: str | None
    periods: list[ActivePeriod]


class Activity(Answer):
    """Every period of the range, for each group."""

    zone: str = Field(description="whose days they are")
    period: Period
    by: By | None
    groups: list[ActiveGroup]
    next_cursor: str | None


class Asked(Range):
    """The parameters."""

    period: Period = Period.DAY


def activity_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["activity"], dependencies=[Depends(reader)])

    @router.get("/v1/activity")
    async def get_activity(asked: Annotated[Asked, Query()]) -> Activity:
        """Return how many users were active in each period: without `from`, in the last ones."""
        async with snapshots.open() as snapshot:
            counters = snapshot.counters
            zone = await counters.zone()
            today = periods.today(ages.now(), zone)
            starts = periods_of(asked, asked.period, today=today)
            check_size(asked, numbers=len(starts), most=MOST_NUMBERS)
            first, end = _bounds(starts, today)
            group, following = await group_of(
                asked,
                f"activity-{asked.period}",
                lambda by, behind, limit: counters.activity_values(
                    asked.period, by, first=first, end=end, behind=behind, limit=limit
                ),
            )
            counted = await counters.activity(asked.period, group, first=first, end=end)
            age = await ages.of(snapshot)
        groups = [
            ActiveGroup(
                value=shown_value(group, value),
                periods=[
                    _shown(asked.period, start, counted.get((value, start), (0, 0)), today)
                    for start in starts
                ],
            )
            for value in group.values
        ]
        return Activity(
            zone=zone.key,
            period=asked.period,
            by=asked.by,
            groups=groups,
            next_cursor=following,
            **age,
        )

    return router


def _bounds(starts: list[date], today: date) -> tuple[date, date]:
    """Return the first beginning and the day after the last one; an empty range where there is none."""
    if not starts:
        return today, today
    return starts[0], Period.DAY.following(starts[-1])


def _shown(period: Period, start: date, counted: tuple[int, int], today: date) -> ActivePeriod:
    users, new = counted
    return ActivePeriod(
        start=start,
        users=users,
        new=new,
        returning=users - new,
        complete=period.following(start) <= today,
    )
