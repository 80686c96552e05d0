"""How many users stand where."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from services.api.inbound.answers import Ages, Answer, NoParameters
from services.api.usecases.ports import Snapshots
from shared.vocabulary import Lifecycle


class Tiers(Answer):
    """Users per lifecycle, every lifecycle named, and all of them together."""

    lifecycle: dict[Lifecycle, int]
    total: int


def tiers_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["tiers"], dependencies=[Depends(reader)])

    @router.get("/v1/tiers")
    async def get_tiers(_: Annotated[NoParameters, Query()]) -> Tiers:
        """Return the counts, exact as of `as_of`."""
        async with snapshots.open() as snapshot:
            counts = await snapshot.lifecycle_counts()
            age = await ages.of(snapshot)
        return Tiers(
            lifecycle={each: counts.get(each, 0) for each in Lifecycle},
            total=sum(counts.values()),
            **age,
        )

    return router
