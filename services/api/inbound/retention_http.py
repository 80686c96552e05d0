"""How many of those who began together were active again, by their age."""

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.domain import periods
from services.api.domain.counts import OLDEST, row_of_ages
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

MOST_NUMBERS = 50_000
_OLDEST_SHOWN = {Period.DAY: 30, Period.WEEK: 12}


class CohortPeriod(StrEnum):
    """What a cohort begins in: the day of the first activity, or its week."""

    DAY = "day"
    WEEK = "week"


class Cohort(BaseModel):
    """`ages[n]`: the users who were active n periods after the one in which they began.

    It ends with the period of today: what lies in the future is absent.
    """

    cohort: date
    users: int
    ages: list[int]
    complete: bool = Field(description="false: the period of the last age still runs")


class CohortGroup(BaseModel):
    """The users of one channel or platform; null: all users."""

    value: str | None
    cohorts: list[Cohort]


class Retention(Answer):
    """Every cohort of the range, for each group."""

    zone: str = Field(description="whose days they are")
    period: CohortPeriod
    by: By | None
    groups: list[CohortGroup]
    next_cursor: str | None


class Asked(Range):
    """The parameters."""

    period: CohortPeriod = CohortPeriod.DAY
    oldest: int | None = Field(None, ge=0, le=OLDEST[Period.DAY])


def retention_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["retention"], dependencies=[Depends(reader)])

    @router.get("/v1/retention")
    async def get_retention(asked: Annotated[Asked, Query()]) -> Retention:
        """Return cohorts by their first active day or week: without `from`, the last ones."""
        period = Period(asked.period.value)
        oldest = _oldest(asked, period)
        async with snapshots.open() as snapshot:
            counters = snapshot.counters
            zone = await counters.zone()
            today = periods.today(ages.now(), zone)
            cohorts = periods_of(asked, period, today=today)
            check_size(asked, numbers=len(cohorts) * (oldest + 1), most=MOST_NUMBERS)
            first, end = (
                (cohorts[0], Period.DAY.following(cohorts[-1])) if cohorts else (today,) * 2
            )
            group, following = await group_of(
                asked,
                f"retention-{period}",
                lambda by, behind, limit: counters.retention_values(
                    period, by, first=first, end=end, behind=behind, limit=limit
                ),
            )
            counted = await counters.retention(period, group, first=first, end=end, oldest=oldest)
            age = await ages.of(snapshot)
        groups = [
            CohortGroup(
                value=shown_value(group, value),
                cohorts=[
                    _cohort(counted.get((value, each), {}), each, today=today, asked=asked)
                    for each in cohorts
                ],
            )
            for value in group.values
        ]
        return Retention(
            zone=zone.key,
            period=asked.period,
            by=asked.by,
            groups=groups,
            next_cursor=following,
            **age,
        )

    return router


def _oldest(asked: Asked, period: Period) -> int:
    oldest = _OLDEST_SHOWN[period] if asked.oldest is None else asked.oldest
    if oldest > OLDEST[period]:
        raise refused("oldest", f"must be at most {OLDEST[period]} {period}s")
    return oldest


def _cohort(counted: Mapping[int, int], cohort: date, *, today: date, asked: Asked) -> Cohort:
    period = Period(asked.period.value)
    ages = row_of_ages(
        counted, cohort=cohort, period=period, today=today, oldest=_oldest(asked, period)
    )
    runs = period.age(cohort, today) == len(ages) - 1
    return Cohort(cohort=cohort, users=ages[0], ages=ages, complete=not runs)
