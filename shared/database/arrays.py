"""Columns of values as one text parameter each: Postgres reads an array literal faster than the driver encodes it.

The driver asks of every element whether it is an array itself, which took a twentieth of a fold.
A statement says `$1::text::text[]`: the first cast keeps the driver from encoding elements.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\""})
_COPY_ESCAPES = str.maketrans(
    {
        "\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
    }
)  # fmt: skip
NULL = r"\N"  # in COPY's text format
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InstantTexts(dict[datetime, str]):
    """Instants as Postgres reads them, in UTC. Remembers seconds: many instants share one."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[int, str] = {}

    def __missing__(self, instant: datetime) -> str:
        since = instant - _EPOCH
        second = since.days * 86_400 + since.seconds
        text = self._seconds.get(second)
        if text is None:
            text = instant.astimezone(UTC).isoformat()[:19]
            self._seconds[second] = text
        return f"{text}.{since.microseconds:06d}+00"


def copied(text: str) -> str:
    """Return a text as a value in COPY's text format.

    Of what must be escaped only the backslash is printable, and nearly no text has any of it.
    """
    return text if text.isprintable() and "\\" not in text else text.translate(_COPY_ESCAPES)


def text_array(texts: Sequence[str]) -> str:
    """Return texts of any content as an array literal."""
    if not texts:
        return "{}"
    joined = '","'.join(texts)
    # As many quotes as the joining put there: none of the texts' own.
    if joined.count('"') != 2 * (len(texts) - 1) or "\\" in joined:
        joined = '","'.join([text.translate(_ESCAPES) for text in texts])
    return f'{{"{joined}"}}'


def instant_array(instants: Iterable[datetime | None]) -> str:
    text_of = InstantTexts()
    return f"{{{','.join(['NULL' if at is None else text_of[at] for at in instants])}}}"


def number_array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


def word_array(words: Iterable[str | None]) -> str:
    """Return words of our own vocabulary, which need no quotes; None is NULL."""
    return f"{{{','.join(['NULL' if word is None else word for word in words])}}}"
