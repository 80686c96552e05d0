"""One batch of the events topic → users, history and outbox, inside the lane's fenced transaction."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.policy import Policies
from services.segmenter.inbound.decoding import Decoded, decode
from services.segmenter.inbound.live_funnels import LiveFunnels
from services.segmenter.inbound.log_horizon import judge_age
from services.segmenter.inbound.messages import messages_of
from services.segmenter.inbound.rejected_claims import keep_rejected
from services.segmenter.inbound.sweeps import Sweeps
from services.segmenter.usecases.fold_events import Folded, fold_events
from services.segmenter.usecases.merge_users import Identities, Scene
from services.segmenter.usecases.ports import NoRoomYet, Room, Store, check_zone
from services.segmenter.usecases.sweep_deadlines import Swept, sweep_deadlines
from services.segmenter.usecases.tell_channels import ChannelDesk
from services.segmenter.usecases.write_history import History, Occasion
from shared.contracts.events import EventEnvelope
from shared.database import lease
from shared.database.connection import Connection, translated
from shared.database.outbox import OutboxMessage
from shared.kafka.records import Record
from shared.lanes.work import Applied, Batch
from shared.observability import metrics as m
from shared.observability.metrics import Metrics


class EventLane:
    """The segmenter's work on the events topic; keeps `LaneWork`."""

    def __init__(  # noqa: PLR0913  built in one place
        self,
        *,
        store: Callable[[Connection], Store],
        identities: Callable[[Connection], Identities],
        room: Room,
        funnels: LiveFunnels,
        live_window: timedelta,
        calendar: Calendar,
        metrics: Metrics,
        counts: bool = True,
        loop_time: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._identities = identities
        self._room = room
        self._funnels = funnels
        self._live_window = live_window
        self._calendar = calendar
        self._counts = counts
        self._metrics = metrics
        # What `prepare` decoded, for the `apply` of the same records; one batch per partition.
        self._decoded: dict[int, tuple[Sequence[Record], Decoded]] = {}
        self._horizon: datetime | None = None
        # Where a transition found no room although no event of its batch asked for it.
        self._wanted: set[date] = set()
        self._sweeps = Sweeps(metrics)
        self._loop_time = loop_time or _loop_time

    async def prepare(self, batch: Batch) -> None:
        days: set[date] = set()
        months = set(self._wanted)
        if batch.records:
            self._horizon = await self._room.horizon()
            decoded = self._decode(batch.records)
            self._decoded[batch.part] = batch.records, decoded
            if decoded.received is not None:
                days = _dates(decoded.received, (each.event.received_at for each in decoded.events))
            events = [each.event for each in decoded.events]
            months |= _months(events, await self._room.policies())
        if days or months:
            await self._room.ensure(days=days, months=months)
            self._wanted -= months

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        store = self._store(connection)
        decoded = self._of(batch)
        occasion = self._occasion(batch)
        try:
            rules = await store.rules()
            check_zone(str(self._calendar.zone), stored=rules.zone)
            scene = Scene(
                occasion,
                rules.policies,
                store,
                self._identities(connection),
                partial(_folded_until, connection, batch),
                ChannelDesk(await self._room.channels(rules.channels), self._room.admit),
            )
            oldest, _ = decoded.received or (batch.now, batch.now)
            folded = await fold_events(decoded.events, scene, oldest=oldest)
            await keep_rejected(
                connection,
                batch,
                decoded.events,
                folded.merged.rejected,
                identities=scene.identities,
            )
            if self._counts:
                await self._funnels.fold(connection, folded, scene, version=rules.funnels)
            swept = await self._sweep(batch, scene)
            await store.count(occasion.cells, part=batch.part)
        except NoRoomYet as error:
            self._room.forget()
            self._wanted |= error.months
            raise
        return Applied(
            refused=decoded.refused,
            messages=_messages(folded, swept, at=batch.now),
            more_due=swept is not None and swept.more_due,
            held_up=swept is not None and swept.held_up,
            unswept=swept is None,
            gives_way=self._sweeps.gives_way(at=self._loop_time()),
            after_commit=[partial(self._tell, batch, decoded, folded, swept)],
        )

    def _occasion(self, batch: Batch) -> Occasion:
        return Occasion(
            batch.part,
            batch.now,
            batch.watermark,
            self._live_window,
            self._calendar,
            counts=self._counts,
        )

    async def _sweep(self, batch: Batch, scene: Scene) -> Swept | None:
        """Let time pass for those who are due; None where it is not the time to look."""
        at = self._loop_time()
        self._sweeps.see(batch, at=at)
        if not self._sweeps.is_time(batch, at=at):
            return None
        return await sweep_deadlines(
            occasion=scene.occasion,
            policies=scene.policies,
            store=scene.store,
            folded_until=scene.folded_until,
            limit=self._sweeps.limit(batch, at=at),
            past=self._sweeps.past(batch),
        )

    def _of(self, batch: Batch) -> Decoded:
        records, decoded = self._decoded.pop(batch.part, ((), Decoded((), ())))
        return decoded if records is batch.records else self._decode(batch.records)

    def _decode(self, records: Sequence[Record]) -> Decoded:
        decoded = decode(records)
        judged = judge_age(decoded.events, records, horizon=self._horizon)
        receipts = [each.event.received_at for each in judged.kept]
        return Decoded(
            judged.kept,
            [*decoded.refused, *judged.refused],
            (min(receipts), max(receipts)) if receipts else None,
        )

    def _tell(self, batch: Batch, decoded: Decoded, folded: Folded, swept: Swept | None) -> None:
        for outcome, number in (
            ("folded", folded.folded),
            ("duplicate", folded.duplicates),
            ("inactive", folded.inactive),
            ("refused", len(decoded.refused)),
        ):
            if number:
                self._metrics.count(m.FOLD_EVENTS, outcome, by=number)
        if decoded.received is not None:
            oldest, _ = decoded.received
            self._metrics.observe(m.FOLD_DELAY_SECONDS, _seconds(oldest, batch.now))
        if folded.merged.merges:
            self._metrics.count(m.MERGES, by=len(folded.merged.merges))
        for rejected in folded.merged.rejected:
            self._metrics.count(m.CLAIMS_REJECTED, rejected.fault)
        self._tell_history(folded.history)
        if swept is not None:
            self._tell_history(swept.history)
            self._sweeps.note(batch, swept, at=self._loop_time())

    def _tell_history(self, history: History) -> None:
        written = Counter([(each.kind, each.after, each.reason) for each in history.written])
        for labels, number in written.items():
            self._metrics.count(m.TRANSITIONS, *labels, by=number)
        for kind, number in Counter(
            [each.kind for each in (*history.repealed, *history.retracted)]
        ).items():
            self._metrics.count(m.TRANSITIONS_RETRACTED, kind, by=number)


def _messages(folded: Folded, swept: Swept | None, *, at: datetime) -> list[OutboxMessage]:
    told = list(messages_of(folded.history, at=at))
    return told if swept is None else [*told, *messages_of(swept.history, at=at)]


async def _folded_until(connection: Connection, batch: Batch) -> Mapping[int, datetime | None]:
    with translated():
        return await lease.folded_until(connection, batch.group, batch.topic)


def _months(events: Sequence[EventEnvelope], policies: Policies) -> set[date]:
    """Return the months in which the events may date a transition, now or as time passes."""
    thresholds = {
        threshold
        for reign in policies.reigns
        for threshold in (
            reign.policy.new_for,
            reign.policy.silent_after,
            reign.policy.churned_after,
            reign.policy.returned_for,
        )
    }
    happened = [event.timestamp for event in events]
    days = _dates((min(happened), max(happened)), happened) if happened else set()
    activated = {since.date() for since, _ in policies.later}
    return {
        # A day more: the threshold may end after midnight.
        (day + timedelta(days=extra) + threshold).replace(day=1)
        for day in days
        for threshold in (timedelta(), *thresholds)
        for extra in (0, 1)
    } | {each.replace(day=1) for each in activated if days and each >= min(days)}


def _dates(bounds: tuple[datetime, datetime], instants: Iterable[datetime]) -> set[date]:
    """Return the days of the instants, of which the bounds are the first and the last. Nearly always it is one."""
    first, last = bounds[0].date(), bounds[1].date()
    return {first} if first == last else {each.date() for each in instants}


def _seconds(earlier: datetime, later: datetime) -> float:
    return max(0.0, (later - earlier).total_seconds())


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
