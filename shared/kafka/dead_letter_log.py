"""Dead letters in their topic: the original bytes as they came, why and where in the headers."""

from datetime import UTC, datetime, timedelta

from shared.contracts import dead_letters, topics
from shared.contracts.dead_letters import DeadLetter
from shared.errors import PermanentError
from shared.kafka.log import LogRecord
from shared.kafka.records import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUNCATED = b"true"


class NotADeadLetter(PermanentError):
    """A record of the dead-letter topic lacks the headers that say why it is there."""


def dead_letter_record(letter: DeadLetter) -> LogRecord:
    """Return the record that keeps the letter."""
    texts = (
        (dead_letters.HEADER_ID, letter.dead_letter_id),
        (dead_letters.HEADER_CODE, letter.code),
        (dead_letters.HEADER_FIELD, letter.field),
        (dead_letters.HEADER_REASON, letter.reason),
        (dead_letters.HEADER_ORIGIN, letter.origin),
        (dead_letters.HEADER_SOURCE, letter.source),
    )
    headers = [(name, _encode(text)) for name, text in texts if text is not None]
    if letter.truncated:
        headers.append((dead_letters.HEADER_TRUNCATED, _TRUNCATED))
    return LogRecord(
        topic=topics.DEAD_LETTER.name,
        key=letter.key,
        value=letter.value,
        timestamp_ms=(letter.refused_at - _EPOCH) // timedelta(milliseconds=1),
        headers=headers,
    )


def read_dead_letter(record: Record) -> DeadLetter:
    """Return the letter that the record keeps. Raises NotADeadLetter."""
    headers = dict(record.headers)

    def optional(name: str) -> str | None:
        value = headers.get(name)
        return None if value is None else value.decode("utf-8", errors="replace")

    def required(name: str) -> str:
        text = optional(name)
        if text is None:
            raise NotADeadLetter(f"header {name} is missing")
        return text

    return DeadLetter(
        dead_letter_id=required(dead_letters.HEADER_ID),
        code=required(dead_letters.HEADER_CODE),
        field=optional(dead_letters.HEADER_FIELD),
        reason=required(dead_letters.HEADER_REASON),
        origin=required(dead_letters.HEADER_ORIGIN),
        refused_at=_EPOCH + timedelta(milliseconds=record.timestamp_ms),
        value=record.value,
        key=record.key,
        source=optional(dead_letters.HEADER_SOURCE),
        truncated=headers.get(dead_letters.HEADER_TRUNCATED) == _TRUNCATED,
    )


def _encode(text: str) -> bytes:
    # A reason may quote what the client sent, lone surrogates included.
    return text.encode("utf-8", errors="replace")
