"""Spans of activity: what a user's instants of activity leave behind, whatever order they came in."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec


class Span(msgspec.Struct, frozen=True, gc=False, order=True):
    """Activity from `start` to `end` without a silence in between."""

    start: datetime
    end: datetime


# Disjoint, ascending, each at least the grain of the policies after the one before.
Spans = tuple[Span, ...]


def add_instants(spans: Spans, instants: Iterable[datetime], *, silent_after: timedelta) -> Spans:
    """Return the spans with the instants in them.

    An instant joins a span when less than `silent_after` lies between them: a gap of exactly
    `silent_after` is a silence. The result is the same for any order and any repetition.
    """
    joined: list[Span] = []
    last: Span | None = None
    for piece in sorted([*spans, *[Span(instant, instant) for instant in instants]]):
        if last is not None and piece.start - last.end < silent_after:
            last = joined[-1] = Span(last.start, max(last.end, piece.end))
        else:
            last = piece
            joined.append(piece)
    return tuple(joined)


class Logged(msgspec.Struct, frozen=True, gc=False):
    """A user's spans as the event log has them, which holds all activity from `since` on; None: all."""

    spans: Spans
    since: datetime | None = None


def finer(spans: Spans, logged: Logged | None, *, silent_after: timedelta) -> Spans:
    """Return the spans with the silences in them that only the log still knows.

    What is older than the log stays as it is.
    """
    if logged is None:
        return spans
    pieces = [*logged.spans]
    for span in spans:
        pieces += [Span(span.start, span.start), Span(span.end, span.end)]
        if logged.since is not None and span.start < logged.since:
            pieces.append(Span(span.start, min(span.end, logged.since)))
    return coarser(tuple(pieces), silent_after)


def coarser(spans: Spans, silent_after: timedelta) -> Spans:
    """Return the spans as a policy sees them for which only so long a gap is a silence."""
    return add_instants(spans, (), silent_after=silent_after)
