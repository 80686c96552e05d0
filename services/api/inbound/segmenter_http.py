"""The segmenter: who folds which partition, how far it is, and why one stands still."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.domain.views import PartitionView, WorkerView
from services.api.inbound.answers import Ages, Answer, NoParameters
from services.api.usecases.ports import Snapshots


class Worker(BaseModel):
    """A process of the segmenter. One that died is shown for about an hour."""

    worker: str
    alive: bool = Field(description="its lease runs")
    leaving: bool = Field(description="it is stopping, and takes no more partitions")
    partitions: int = Field(description="how many it owns")


class PartitionLag(BaseModel):
    """How far a partition is behind: null where it was never folded, or its end is not known."""

    seconds: float | None
    events: int | None


class Partition(BaseModel):
    """A partition of the events topic, as last committed."""

    partition: int
    owner: str | None = Field(description="the worker that folds it; null: nobody")
    epoch: int = Field(description="rises with every owner, and fences those before")
    next_offset: int
    end_offset: int | None = Field(description="the log's end when it was last asked for")
    lag: PartitionLag
    watermark: datetime | None = Field(description="everything received by then is folded")
    folded_at: datetime | None = Field(description="product time of the last commit")
    frozen_reason: str | None = Field(description="set: nobody folds it until it is cleared")


class Segmenter(Answer):
    """The workers by name and the partitions by number."""

    workers: list[Worker]
    partitions: list[Partition]


def segmenter_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["segmenter"], dependencies=[Depends(reader)])

    @router.get("/v1/segmenter")
    async def read_segmenter(_asked: Annotated[NoParameters, Query()]) -> Segmenter:
        """Return who folds the events, and how far each partition is."""
        async with snapshots.open() as snapshot:
            workers = await snapshot.segmenter_workers()
            partitions = await snapshot.segmenter_partitions()
            age = await ages.of(snapshot)
        return Segmenter(
            workers=[_worker(each, partitions) for each in workers],
            partitions=[_partition(each, ages) for each in partitions],
            **age,
        )

    return router


def _worker(view: WorkerView, partitions: Sequence[PartitionView]) -> Worker:
    return Worker(
        worker=view.worker,
        alive=view.alive,
        leaving=view.leaving,
        partitions=sum(each.owner == view.worker for each in partitions),
    )


def _partition(view: PartitionView, ages: Ages) -> Partition:
    seconds = None if view.watermark is None else ages.seconds_since(view.watermark)
    return Partition(
        partition=view.part,
        owner=view.owner,
        epoch=view.epoch,
        next_offset=view.next_offset,
        end_offset=view.end_offset,
        lag=PartitionLag(seconds=seconds, events=view.waiting),
        watermark=view.watermark,
        folded_at=view.folded_at,
        frozen_reason=view.frozen_reason,
    )
