"""Keyset pages of lists in the order of time: no page is skipped or shown twice, however long the list."""

from typing import Any

from sqlalchemy import ColumnElement, Select, cast, tuple_

from services.api.usecases.ports import At


def page(
    query: Select[Any],
    *,
    at: ColumnElement[Any],
    key: ColumnElement[Any],
    behind: At | None,
    limit: int,
    oldest_first: bool = False,
) -> Select[Any]:
    """Return the query for the page behind a place, ordered by instant and key."""
    place = tuple_(at, key)
    if behind is not None:
        there = tuple_(behind[0], cast(behind[1], key.type))
        query = query.where(place > there if oldest_first else place < there)
    order = (at, key) if oldest_first else (at.desc(), key.desc())
    return query.order_by(*order).limit(limit)
