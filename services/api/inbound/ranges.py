"""What questions for counted numbers have in common: days from and to, and groups to tell apart."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from services.api.domain.counts import Dimension, Group
from services.api.domain.cursor import write_cursor
from services.api.domain.periods import Period, starts
from services.api.inbound.answers import Cursor, in_product_time, key_behind
from shared.http.problems import Problem

MOST_PERIODS = 400
_SHOWN = {Period.DAY: 30, Period.WEEK: 12, Period.MONTH: 12}
_DAY = timedelta(days=1)


class By(StrEnum):
    """What to tell users apart by: their first event's channel, or its platform."""

    CHANNEL = "channel"
    PLATFORM = "platform"


def _iso_date(given: object) -> date:
    """Read a date strictly: pydantic would take a number for seconds since 1970."""
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        raise ValueError("is not a date such as 2026-11-24") from None


Day = Annotated[date, BeforeValidator(_iso_date), AfterValidator(in_product_time)]
Groups = Annotated[int, Query(ge=1, le=100, description="groups of a page, where `by` is given")]


class Days(BaseModel, extra="forbid"):
    """Which days: from `from` up to, but not with, `to`. They are those of the product's time zone."""

    from_: Day | None = Field(None, alias="from")
    to: Day | None = None

    def blame(self) -> str:
        """Return the parameter that too long a range is due to: one that was given."""
        return "from" if self.to is None else "to"


class Range(Days):
    """The parameters that every question for counted numbers takes."""

    by: By | None = None
    cursor: Cursor = None
    limit: Groups = 20


def periods_of(asked: Range, period: Period, *, today: date) -> list[date]:
    """Return the beginnings of the periods that are asked for, without those still to come.

    Each holds a day from `from` up to, but not with, `to`. Raises Problem.
    """
    end = asked.to or today + _DAY
    first = asked.from_ or period.before(end - _DAY, _SHOWN[period] - 1)
    if end <= first:
        raise _nothing_between(asked, first, today=today)
    if (end - first) // _shortest(period) > MOST_PERIODS:
        raise refused(asked.blame(), f"asks for more than {MOST_PERIODS} {period}s")
    return starts(period, first, min(end, today + _DAY))


def _nothing_between(asked: Days, first: date, *, today: date) -> Problem:
    if asked.to is None:
        return refused("from", f"must not lie after today ({today}) where to is not given")
    return refused("to", f"must lie after from ({first}), and is not shown itself")


def _shortest(period: Period) -> timedelta:
    return {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 28}[period] * _DAY


def check_size(asked: Range, *, numbers: int, most: int) -> None:
    """Refuse a page of more numbers than an answer should have. `numbers`: of one group."""
    groups = 1 if asked.by is None else asked.limit
    if numbers * groups > most:
        one_is_too_many = numbers > most
        field, rather = (
            (asked.blame(), "fewer days") if one_is_too_many else ("limit", "fewer groups")
        )
        raise refused(field, f"asks for {numbers * groups} numbers; at most {most}: {rather}")


async def group_of(
    asked: Range,
    listing: str,
    values: Callable[[Dimension, str | None, int], Awaitable[Sequence[str]]],
) -> tuple[Group, str | None]:
    """Return the groups of the page, and the cursor of the next. Raises Problem."""
    listing = f"{listing}-{asked.by or 'all'}"
    behind = None if asked.cursor is None else key_behind(listing, asked.cursor, parts=1)[0]
    if asked.by is None:
        if behind is not None:
            raise refused("cursor", "is none where by is not given")
        return Group(), None
    by = Dimension(asked.by.value)
    found = await values(by, behind, asked.limit)
    following = write_cursor(listing, [found[-1]]) if len(found) == asked.limit else None
    return Group(by, found), following


def shown_value(group: Group, value: str) -> str | None:
    """Return the value as it is shown: null for all users."""
    return None if group.dimension is Dimension.ALL else value


def refused(field: str, reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_parameter", f"{field}: {reason}", field=field)
