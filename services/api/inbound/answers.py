"""What every answer has in common: its age, its cursor, and the texts and instants it is asked with."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from services.api.domain.cursor import BadCursor, read_cursor, write_cursor
from services.api.domain.freshness import Freshness, freshness
from services.api.usecases.ports import At, Snapshot
from shared.clock import EARLIEST, LATEST, Clock
from shared.http.problems import Problem
from shared.observability import metrics as m
from shared.observability.metrics import Metrics

DateOrInstant = TypeVar("DateOrInstant", bound=date)
LONGEST_TEXT = 200
LARGEST_PAGE = 500
_COMPACT_DATE = len("20261124")


class Lag(BaseModel):
    """How far the numbers are behind: null seconds where a partition was never folded."""

    seconds: float | None
    events: int


class Answer(BaseModel):
    """Every answer: all that was received by `as_of` is in it."""

    as_of: datetime | None = Field(description="null: some partition was never folded")
    lag: Lag


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds the character U+0000")
    return text


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


def _iso_8601(given: object) -> datetime:
    """Read an instant strictly: pydantic would take a number for seconds since 1970."""
    text = str(given)
    instant = None if _is_number(text) else _instant_in(text)
    if instant is not None:
        return instant
    if " " in text and _instant_in("+".join(text.rsplit(" ", 1))) is not None:
        raise ValueError("holds a blank where a + was meant: write + as %2B in an address")
    raise ValueError("is not an ISO 8601 time such as 2026-11-24T12:00:00Z")


def _is_number(text: str) -> bool:
    """Say whether it is one, and no date either: 20261124 is the date that it looks like."""
    try:
        float(text)
    except ValueError:
        return False
    return not (text.isdecimal() and len(text) == _COMPACT_DATE)


def _instant_in(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def in_product_time(given: DateOrInstant) -> DateOrInstant:
    """Return it if the product's clock can show it; an instant must be in UTC. Raises ValueError."""
    day = given.date() if isinstance(given, datetime) else given
    if not EARLIEST.date() <= day < LATEST.date():
        raise ValueError("lies outside the years 1970 to 2199")
    return given


def _aware(instant: datetime) -> datetime:
    """Without an offset it is UTC."""
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the calendar") from None


Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_storable)]
Words = Annotated[Text, AfterValidator(_said)]
Instant = Annotated[datetime, BeforeValidator(_iso_8601), AfterValidator(_aware)]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="rows of a page")]
Cursor = Annotated[
    str | None, Query(max_length=2_000, description="`next_cursor` of the page before")
]


class NoParameters(BaseModel, extra="forbid"):
    """The parameters of a question that takes none: a misspelt one must not be let be."""


class Ages:
    """Tells how old a snapshot's numbers are."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics

    async def of(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return `as_of` and `lag`, read in the same snapshot as the numbers."""
        age: Freshness = freshness(await snapshot.progress(), self._clock.now())
        if age.lag_seconds is not None:
            self._metrics.set(m.API_LAG_SECONDS, age.lag_seconds)
        return {
            "as_of": age.as_of,
            "lag": Lag(seconds=age.lag_seconds, events=age.lag_events),
        }

    def now(self) -> datetime:
        """Return product time: it says which days are still to come."""
        return self._clock.now()

    def seconds_since(self, instant: datetime) -> float:
        """Return how long ago it was in product time; 0 for what is still to come."""
        return max(0.0, (self._clock.now() - instant).total_seconds())


def place_behind(listing: str, cursor: str | None) -> At | None:
    """Return the place at which a page of a list in time begins. Raises Problem."""
    if cursor is None:
        return None
    at, key = key_behind(listing, cursor, parts=2)
    try:
        return _aware(datetime.fromisoformat(at)), key
    except ValueError:
        raise bad_cursor("is not a cursor") from None


def key_behind(listing: str, cursor: str, *, parts: int) -> list[str]:
    """Return the key behind which a page begins. Raises Problem."""
    try:
        return read_cursor(listing, cursor, parts=parts)
    except BadCursor as error:
        raise bad_cursor(str(error)) from None


def next_cursor(listing: str, rows: Sequence[Any], limit: int, *fields: str) -> str | None:
    """Return the cursor of the page after these rows, or None where the list ends with them."""
    if len(rows) < limit:
        return None
    key = [getattr(rows[-1], field) for field in fields]
    return write_cursor(
        listing, [each.isoformat() if isinstance(each, datetime) else str(each) for each in key]
    )


def bad_cursor(reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_parameter", f"cursor: {reason}", field="cursor")
