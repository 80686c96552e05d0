"""Refused inputs, kept with their bytes, their reason and their place until somebody looks."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.dead_letters import DeadLetter
from shared.database.connection import Connection

REASON_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the log the refused record stands."""

    topic: str
    part: int
    offset: int


async def insert(connection: Connection, letters: Sequence[tuple[DeadLetter, Place]]) -> None:
    """Keep the letters; one whose id is known already is the same letter, and stays as it is."""
    await connection.executemany(
        """
        INSERT INTO dead_letters (dead_letter_id, code, field, reason, origin, source,
                                  topic, part, kafka_offset, key, value, truncated, refused_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (dead_letter_id) DO NOTHING
        """,
        [_row(letter, place) for letter, place in letters],
    )


def storable(text: str) -> str:
    """Return the text without what Postgres text can't hold: NUL and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:REASON_LENGTH]


def _row(letter: DeadLetter, place: Place) -> tuple[object, ...]:
    return (
        storable(letter.dead_letter_id),
        storable(letter.code),
        None if letter.field is None else storable(letter.field),
        storable(letter.reason),
        storable(letter.origin),
        None if letter.source is None else storable(letter.source),
        place.topic,
        place.part,
        place.offset,
        letter.key,
        letter.value,
        letter.truncated,
        letter.refused_at,
    )
