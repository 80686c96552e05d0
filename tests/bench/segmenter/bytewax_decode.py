"""Bytewax's first step: records decoded, and grouped by user."""

import time
from collections import defaultdict
from collections.abc import Iterable

from bytewax.connectors.kafka import KafkaSourceMessage

from tests.bench.segmenter.bytewax_known import InFlight, Log
from tests.bench.segmenter.rows import BareEvent, decode, fields_of

# Rows for the event log, and when the user acted. A user's events of one batch go on together: the
# state is looked up once for all of them.
Acted = tuple[list[str], list[str]]


class Decoding:
    """Takes every record for a new event.

    Notes when the first records came: the start of the interpreter is not measured.
    """

    def __init__(self) -> None:
        self.begun: float | None = None
        self.cpu_s = 0.0
        self.events = 0
        self.counts: dict[str, int] = {}

    def __call__(self, records: list[KafkaSourceMessage]) -> Iterable[tuple[str, Acted]]:
        if self.begun is None:
            self.begun, self.cpu_s = time.monotonic(), time.process_time()
        self.events += len(records)
        return self._acted(records).items()

    def _acted(self, records: list[KafkaSourceMessage]) -> dict[str, Acted]:
        users: defaultdict[str, Acted] = defaultdict(lambda: ([], []))
        for record in records:
            event = decode(record.value)
            rows, instants = users[event.user_id]
            rows.append(_row(event, record))
            instants.append(event.timestamp)
        return users


class OnceDecoding(Decoding):
    """Takes a record for what its id and its place say: new, replayed or a repeat."""

    def __init__(self, log: Log, in_flight: InFlight) -> None:
        super().__init__()
        self.counts = {"replayed": 0, "repeats": 0}
        self._log = log
        self._in_flight = in_flight

    def _acted(self, records: list[KafkaSourceMessage]) -> dict[str, Acted]:
        events = [decode(record.value) for record in records]
        keys = [(event.source, event.event_id) for event in events]
        logged, in_flight = self._log.places(keys), self._in_flight.places
        users: defaultdict[str, Acted] = defaultdict(lambda: ([], []))
        new = []
        for record, event, key in zip(records, events, keys, strict=True):
            place = (record.partition, record.offset)
            if (known := logged.get(key) or in_flight.get(key)) is None:
                in_flight[key] = place
                new.append(key)
                users[event.user_id][0].append(_row(event, record))
            elif known != place:
                self.counts["repeats"] += 1
                continue
            else:
                self.counts["replayed"] += 1
            users[event.user_id][1].append(event.timestamp)
        self._in_flight.add(new)
        return users


def _row(event: BareEvent, record: KafkaSourceMessage) -> str:
    return "\t".join(fields_of(event, record.partition, record.offset)) + "\n"
