"""Events as the text of COPY, for programs that are set beside the segmenter. Needs msgspec alone."""

import msgspec

COLUMNS = (
    "source", "event_id", "received_at", "user_id", "type", "name", "timestamp", "anonymous_id",
    "active", "historical", "flags", "part", "kafka_offset", "payload",
)  # fmt: skip


class BareEvent(msgspec.Struct):
    """The envelope, with instants as the text that they are."""

    source: str
    event_id: str
    user_id: str
    type: str
    timestamp: str
    received_at: str
    anonymous_id: str | None = None
    name: str | None = None
    active: bool = True
    historical: bool = False
    flags: tuple[str, ...] = ()
    payload: msgspec.Raw = msgspec.Raw(b"{}")


decode = msgspec.json.Decoder(BareEvent).decode


def fields_of(event: BareEvent, part: int | None, offset: int | None) -> tuple[str, ...]:
    """Return a row of the event log, in the order of the columns."""
    return (
        escaped(event.source),
        escaped(event.event_id),
        event.received_at,
        escaped(event.user_id),
        event.type,
        r"\N" if event.name is None else escaped(event.name),
        event.timestamp,
        r"\N" if event.anonymous_id is None else escaped(event.anonymous_id),
        "t" if event.active else "f",
        "t" if event.historical else "f",
        "{" + ",".join(event.flags) + "}",
        str(part),
        str(offset),
        escaped(bytes(event.payload).decode()),
    )


def escaped(text: str) -> str:
    if text.isprintable() and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
