"""Events as lines of COPY's text format: a third of the time that binary rows take to make."""

from collections.abc import Sequence

from services.segmenter.usecases.ports import Folding

EVENT_COLUMNS = (
    "source", "event_id", "received_at", "user_id", "type", "name", "timestamp", "anonymous_id",
    "active", "historical", "flags", "part", "kafka_offset", "payload",
)  # fmt: skip

_ESCAPES = str.maketrans({"\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"})
_NULL = r"\N"


def event_lines(events: Sequence[Folding], *, part: int) -> bytes:
    """Return one line for each event, in the order of `EVENT_COLUMNS`."""
    lines: list[str] = []
    received, received_text = None, ""
    for event, offset in events:
        if event.received_at is not received:
            received, received_text = event.received_at, event.received_at.isoformat()
        anonymous_id, name = event.anonymous_id, event.name
        lines.append(
            f"{_escaped(event.source)}\t{_escaped(event.event_id)}\t{received_text}\t"
            f"{_escaped(event.user_id)}\t{event.type._value_}\t"
            f"{_NULL if name is None else _escaped(name)}\t{event.timestamp.isoformat()}\t"
            f"{_NULL if anonymous_id is None else _escaped(anonymous_id)}\t"
            f"{event.active}\t{event.historical}\t{_flags(event.flags)}\t{part}\t{offset}\t"
            f"{_payload(event.payload)}\n"
        )
    return "".join(lines).encode()


def _escaped(text: str) -> str:
    # Whatever must be escaped is unprintable, but for the backslash; nearly no text has any of it.
    if text.isprintable() and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


def _payload(raw: bytes) -> str:
    text = bytes(raw).decode()
    if "\\" in text or "\n" in text or "\t" in text or "\r" in text:
        return text.translate(_ESCAPES)
    return text


def _flags(flags: Sequence[str]) -> str:
    return "{" + ",".join(flags) + "}" if flags else "{}"
