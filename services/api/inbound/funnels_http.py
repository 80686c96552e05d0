"""Funnels: what is defined, and who got how far on each day."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from services.api.domain import periods
from services.api.domain.funnels import MOST_DAYS, FunnelDay, FunnelView, percent, share, total
from services.api.inbound.answers import Ages, Answer, NoParameters
from services.api.inbound.funnel_models import FunnelStep
from services.api.inbound.ranges import Days, refused
from services.api.usecases.ports import Snapshot, Snapshots
from shared.http.problems import Problem, answers

DAYS_SHOWN = 30
FunnelId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Progress(BaseModel):
    """How much of the event log is counted. The percentage is 100 only when the funnel is live."""

    percent: float
    pages: int | None
    pages_done: int


class Funnel(BaseModel):
    """A funnel. While it is `backfilling`, its numbers are too small: what came before is missing."""

    funnel_id: int
    name: str
    steps: list[FunnelStep]
    window_s: int
    state: str = Field(description="backfilling or live")
    progress: Progress
    created_at: datetime
    held_since: datetime | None = Field(description="what came before is counted in part at most")
    truncated_users: int = Field(description="whose numbers are the least that is true")


class OneFunnel(Answer, Funnel):
    """One funnel and the answer's age."""


class Funnels(Answer):
    """Every funnel, by name."""

    funnels: list[Funnel]


class Reached(BaseModel):
    """Who made a step and all before it. A rate is null where nobody could."""

    step: int
    event: str
    users: int
    rate: float | None = Field(description="of those who entered")
    step_rate: float | None = Field(description="of those who made the step before")


class Day(BaseModel):
    """The users who entered on a day, and how far they got within the window of it."""

    day: date
    entered: int
    reached: list[Reached]


class Total(BaseModel):
    """All days together; a user counts once for each day on which they entered."""

    entered: int
    reached: list[Reached]


class Conversions(Answer):
    """The days on which anybody entered, in order; days are those of the product's time zone."""

    funnel_id: int
    name: str
    state: str
    progress: Progress
    truncated_users: int
    days: list[Day]
    total: Total


def funnels_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["funnels"], dependencies=[Depends(reader)])

    @router.get("/v1/funnels")
    async def list_funnels(_: Annotated[NoParameters, Query()]) -> Funnels:
        """Return every funnel."""
        async with snapshots.open() as snapshot:
            found = await snapshot.funnels()
            age = await ages.of(snapshot)
        return Funnels(funnels=[shown(each) for each in found], **age)

    @router.get("/v1/funnels/{funnel_id}", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_funnel(funnel_id: FunnelId, _: Annotated[NoParameters, Query()]) -> OneFunnel:
        """Return one funnel."""
        async with snapshots.open() as snapshot:
            found = await _known(snapshot, funnel_id)
            age = await ages.of(snapshot)
        return OneFunnel(**shown(found).model_dump(), **age)

    @router.get("/v1/funnels/{funnel_id}/conversions", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_conversions(funnel_id: FunnelId, asked: Annotated[Days, Query()]) -> Conversions:
        """Return how many users got how far: without `from`, of the last 30 days before `to`."""
        async with snapshots.open() as snapshot:
            found = await _known(snapshot, funnel_id)
            if asked.from_ is not None:
                zone = await snapshot.counters.zone()
                _check_days(asked.from_, asked, today=periods.today(ages.now(), zone))
            first = asked.from_ or await _first_shown(snapshot, found, asked.to)
            days = await snapshot.funnel_days(found, first=first, end=asked.to)
            age = await ages.of(snapshot)
        return _conversions(found, days[:MOST_DAYS], age)

    return router


def shown(view: FunnelView) -> Funnel:
    return Funnel(
        funnel_id=view.funnel_id,
        name=view.name,
        steps=[FunnelStep.model_validate(each) for each in view.steps],
        window_s=view.window_s,
        state=view.state,
        progress=_progress(view),
        created_at=view.created_at,
        held_since=view.held_since,
        truncated_users=view.truncated_users,
    )


async def _known(snapshot: Snapshot, funnel_id: int) -> FunnelView:
    found = await snapshot.funnel(funnel_id)
    if found is None:
        raise unknown_funnel()
    return found


def unknown_funnel() -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND, "unknown_funnel", "no funnel has this id", field="funnel_id"
    )


async def _first_shown(snapshot: Snapshot, shown: FunnelView, end: date | None) -> date | None:
    latest = end or await snapshot.latest_funnel_day(shown.funnel_id)
    return latest and latest - timedelta(days=DAYS_SHOWN - (end is None))


def _check_days(first: date, asked: Days, *, today: date) -> None:
    """Refuse what has too many days, or none. Without `to` they end with today. Raises Problem."""
    if asked.to is not None and asked.to <= first:
        raise refused("to", f"must lie after from ({first}), and is not shown itself")
    end = asked.to or today + timedelta(days=1)
    if (end - first).days > MOST_DAYS:
        raise refused(asked.blame(), f"asks for more than {MOST_DAYS} days")


def _conversions(
    view: FunnelView, days: Sequence[FunnelDay], age: dict[str, object]
) -> Conversions:
    events = [str(each["event"]) for each in view.steps]
    totals = total(days, steps=len(events))
    return Conversions.model_validate(
        {
            "funnel_id": view.funnel_id,
            "name": view.name,
            "state": view.state,
            "progress": _progress(view),
            "truncated_users": view.truncated_users,
            "days": [
                Day(day=each.day, entered=each.users[0], reached=_reached(events, each.users))
                for each in days
            ],
            "total": Total(entered=totals[0], reached=_reached(events, totals)),
            **age,
        }
    )


def _reached(events: Sequence[str], users: Sequence[int]) -> list[Reached]:
    return [
        Reached(
            step=index + 1,
            event=event,
            users=users[index],
            rate=share(users[index], users[0]),
            step_rate=share(users[index], users[max(0, index - 1)]),
        )
        for index, event in enumerate(events)
    ]


def _progress(view: FunnelView) -> Progress:
    done, pages = view.pages or (0, None)
    return Progress(
        percent=percent(view.pages, live=view.state == "live"), pages=pages, pages_done=done
    )
