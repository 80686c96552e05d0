"""Users: one with what comes next for them, and pages of them."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from services.api.domain.views import UserView
from services.api.inbound.answers import (
    Ages,
    Answer,
    Cursor,
    Instant,
    Limit,
    NoParameters,
    Text,
    key_behind,
    next_cursor,
)
from services.api.usecases.ports import Snapshots, UserFilter
from shared.http.problems import Problem, answers
from shared.vocabulary import Lifecycle

_LISTING = "users"


class NextTransition(BaseModel):
    """What time alone will do next, and when."""

    at: datetime
    to: Lifecycle


class User(BaseModel):
    """A user as the segmenter knows them. `next_transition` is null where time changes nothing any more."""

    user_id: str
    lifecycle: Lifecycle
    lifecycle_since: datetime
    first_seen: datetime
    last_seen: datetime
    next_transition: NextTransition | None
    event_count: int
    policy_version: int
    updated_at: datetime


class OneUser(Answer, User):
    """One user and the answer's age."""


class Users(Answer):
    """A page of users, by id."""

    users: list[User]
    next_cursor: str | None


class Asked(BaseModel, extra="forbid"):
    """The parameters of the list."""

    lifecycle: list[Lifecycle] | None = Field(None, description="one or several")
    prefix: Text | None = Field(None, description="beginning of the user id")
    seen_from: Instant | None = Field(None, description="last seen then or later")
    seen_to: Instant | None = Field(None, description="last seen before")
    cursor: Cursor = None
    limit: Limit = 100


def users_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["users"], dependencies=[Depends(reader)])

    @router.get("/v1/users")
    async def list_users(asked: Annotated[Asked, Query()]) -> Users:
        """Return a page of users in the order of their ids."""
        wanted = UserFilter(asked.lifecycle or (), asked.prefix, asked.seen_from, asked.seen_to)
        behind = None if asked.cursor is None else key_behind(_LISTING, asked.cursor, parts=1)[0]
        async with snapshots.open() as snapshot:
            rows = await snapshot.users(wanted, behind=behind, limit=asked.limit)
            age = await ages.of(snapshot)
        return Users(
            users=[User(**fields_of(row)) for row in rows],
            next_cursor=next_cursor(_LISTING, rows, asked.limit, "user_id"),
            **age,
        )

    # A path, because an id may hold slashes.
    @router.get("/v1/users/{user_id:path}", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_user(
        user_id: Annotated[str, Path(max_length=1_000)], _: Annotated[NoParameters, Query()]
    ) -> OneUser:
        """Return one user."""
        async with snapshots.open() as snapshot:
            found = None if "\x00" in user_id else await snapshot.user(user_id)
            age = await ages.of(snapshot)
        if found is None:
            raise Problem(
                HTTPStatus.NOT_FOUND, "unknown_user", "no user has this id", field="user_id"
            )
        return OneUser(**fields_of(found), **age)

    return router


def fields_of(view: UserView) -> dict[str, object]:
    """Return a user's fields as they are shown."""
    coming = None
    if view.deadline is not None and view.deadline_to is not None:
        coming = NextTransition(at=view.deadline, to=Lifecycle(view.deadline_to))
    return {
        "user_id": view.user_id,
        "lifecycle": view.lifecycle,
        "lifecycle_since": view.lifecycle_since,
        "first_seen": view.first_seen,
        "last_seen": view.last_seen,
        "next_transition": coming,
        "event_count": view.event_count,
        "policy_version": view.policy_version,
        "updated_at": view.updated_at,
    }
