"""The jobs about policies: apply the one that was activated, and count what a draft would do."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.messages import messages_of
from services.segmenter.usecases.apply_policy import PassOver, apply_policy
from services.segmenter.usecases.policy_book import PolicyBook
from services.segmenter.usecases.ports import NoRoomYet, Room, Store
from services.segmenter.usecases.preview_policy import (
    Matrix,
    Question,
    count_page,
    policies_after,
)
from services.segmenter.usecases.run_jobs import Job, Stepped
from services.segmenter.usecases.write_history import History
from shared.database import outbox
from shared.database.connection import Connection, translated
from shared.observability import metrics as m
from shared.observability.metrics import Metrics

APPLY = "policy_apply"
PREVIEW = "policy_preview"

# Users of one transaction: lanes may wait for those that it holds, some tenths of a second at most.
CHUNK = 500
# Where the event log has to be asked as well.
CHUNK_OF_LOG = 100
PREVIEWED_PER_S = 20_000.0

Stores = Callable[[Connection], Store]
Books = Callable[[Connection], PolicyBook]


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a pass goes on: behind this user; None: it waits for the fence."""

    fence: int = 0
    behind: str | None = None


_read: Final = msgspec.json.Decoder(Cursor).decode


def _write(cursor: Cursor) -> str:
    return msgspec.json.encode(cursor).decode()


class ApplyPolicy:
    """Brings every user up to the policy that was activated; keeps `JobKind`."""

    def __init__(  # noqa: PLR0913  built in one place
        self,
        *,
        stores: Stores,
        books: Books,
        room: Room,
        group: str,
        live_window: timedelta,
        calendar: Calendar,
        rate: float,
        metrics: Metrics,
    ) -> None:
        self._stores = stores
        self._books = books
        self._room = room
        self._group = group
        self._live_window = live_window
        self._calendar = calendar
        self._rate = rate
        self._metrics = metrics
        self._wanted: set[date] = set()

    @property
    def rate(self) -> float:
        return self._rate

    async def prepare(self) -> None:
        if self._wanted:
            await self._room.ensure(days=(), months=self._wanted)
            self._wanted.clear()

    async def step(self, transaction: Connection, job: Job, *, now: datetime) -> Stepped:
        book = self._books(transaction)
        cursor = Cursor() if job.cursor is None else _read(job.cursor)
        if cursor.behind is None and not (cursor.fence and await book.has_ended(cursor.fence)):
            # Lanes whose transactions began before the activation may not know of it.
            fence = cursor.fence or await book.fence()
            return Stepped(_write(Cursor(fence)), 0, None, waits=True)
        if cursor.behind is None:
            return Stepped(_write(Cursor(cursor.fence, "")), 0, await book.users())
        return await self._apply(transaction, job, cursor, now=now)

    async def _apply(
        self, transaction: Connection, job: Job, cursor: Cursor, *, now: datetime
    ) -> Stepped:
        book, store = self._books(transaction), self._stores(transaction)
        policies = await store.policies()
        version = int(job.argument["version"])
        look = partial(book.outdated, version, behind=cursor.behind or "")
        page = await look(limit=max(1, min(CHUNK, int(self._rate))))
        # Not by the version before: its own job may have failed, or was cancelled.
        if page.oldest is not None and policies.grain < policies.known_to(page.oldest).grain:
            page = await look(limit=max(1, min(CHUNK_OF_LOG, int(self._rate))))
        result = dict(job.result or {"users": 0, "transitions": 0})
        if page.looked_at == 0:
            return Stepped(None, job.done, job.done, result)
        passed = await self._pass_over(
            partial(
                apply_policy,
                page.user_ids,
                policies=policies,
                watermarks=await book.watermarks(),
                now=now,
                live_window=self._live_window,
                calendar=self._calendar,
                store=store,
            )
        )
        await self._send(transaction, passed.histories, now=now)
        result["users"] += passed.users
        result["transitions"] += sum(len(each.written) for each in passed.histories.values())
        done = job.done + page.looked_at
        return Stepped(
            _write(Cursor(cursor.fence, page.last)),
            done,
            max(done, job.total or 0),
            result,
            work=passed.users,
            after_commit=[partial(self._count, each) for each in passed.histories.values()],
        )

    async def _pass_over(self, apply: Callable[[], Any]) -> PassOver:
        try:
            passed: PassOver = await apply()
        except NoRoomYet as error:
            self._room.forget()
            self._wanted |= error.months
            raise
        return passed

    async def _send(
        self, transaction: Connection, histories: Mapping[int, History], *, now: datetime
    ) -> None:
        """Put the messages where the lane of each user's partition puts its own.

        A user's are in order: they get their places in the outbox while the user is locked.
        """
        for part, history in histories.items():
            messages = list(messages_of(history, at=now))
            if messages:
                with translated():
                    await outbox.insert(transaction, self._group, part, messages=messages)

    def _count(self, history: History) -> None:
        for each in history.written:
            self._metrics.count(m.TRANSITIONS, each.kind, each.after, each.reason)
        for each in (*history.repealed, *history.retracted):
            self._metrics.count(m.TRANSITIONS_RETRACTED, each.kind)


class PreviewPolicy:
    """Counts what a policy would do to every user; keeps `JobKind`."""

    rate = PREVIEWED_PER_S

    def __init__(self, *, stores: Stores, books: Books) -> None:
        self._stores = stores
        self._books = books

    async def prepare(self) -> None:
        """It writes nothing but its own row."""

    async def step(self, transaction: Connection, job: Job, *, now: datetime) -> Stepped:  # noqa: ARG002  the question has its own instant
        book, store = self._books(transaction), self._stores(transaction)
        question = _question(job.argument)
        if job.cursor is None:
            return Stepped(_write(Cursor(behind="")), 0, await book.users())
        before = await store.policies()
        after = policies_after(question, await book.policy(question.version), before)
        matrix = Matrix((job.result or {}).get("cells", ()))
        limit = CHUNK_OF_LOG if after.grain < before.grain else CHUNK
        profiles = await book.page(behind=_read(job.cursor).behind or "", limit=limit)
        await count_page(
            profiles, matrix, question=question, before=before, after=after, store=store
        )
        done = job.done + len(profiles)
        return Stepped(
            _write(Cursor(behind=profiles[-1].user_id)) if profiles else None,
            done,
            max(done, job.total or 0) if profiles else done,
            matrix.totals() | {"cells": matrix.cells()},
            work=len(profiles),
        )


def _question(argument: Mapping[str, Any]) -> Question:
    return Question(
        int(argument["version"]), int(argument["against"]), datetime.fromisoformat(argument["at"])
    )
