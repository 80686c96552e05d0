"""Cuts a body into its events by their brackets alone, so that one which is no JSON spares the others.

No recursion, however deep an event is, and no rewriting: each event keeps its sender's bytes. Used on
bodies only that strict JSON refuses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# Whole strings, whose brackets do not count; runs of brackets; commas. A string that does not end is one
# token up to the end, and nothing is ever read twice: the time is linear whatever the body holds.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]+|[\]}]+|,', re.DOTALL)
_COLON_AND_LIST = re.compile(rb"\s*:\s*\[")
# What 2,500 events have is far below; a body made of brackets is not worth the time.
MOST_TOKENS = 500_000


@dataclass(frozen=True, slots=True)
class Split:
    """The body with its list of events emptied, and the events' bytes in order."""

    around: bytes
    events: list[bytes]


def split(body: bytes, *, parts: str | None) -> Split | None:
    """Return the events of the list `parts` of an object (None: the body is the list), or None.

    None where there is no such list, or it does not end.
    """
    start = _list_start(body, parts)
    if start is None:
        return None
    cuts = [start]
    for at in _cuts(body, start):
        cuts.append(at)
        if body[at : at + 1] != b",":
            break
    else:
        return None
    spans = [body[begin + 1 : end].strip() for begin, end in pairwise(cuts)]
    events = [] if spans == [b""] else spans
    return Split(body[: start + 1] + body[cuts[-1] :], events)


def _list_start(body: bytes, parts: str | None) -> int | None:
    """Return where the list opens."""
    if parts is None:
        start = len(body) - len(body.lstrip())
        return start if body[start : start + 1] == b"[" else None
    name = b'"%s"' % parts.encode()
    depth = 0
    for token, at in _tokens(body, 0):
        if depth == 1 and token == name and (opened := _COLON_AND_LIST.match(body, at + len(name))):
            return opened.end() - 1
        depth += _depth(token)
    return None


def _cuts(body: bytes, start: int) -> Iterator[int]:
    """Yield the commas between the list's elements, and last the bracket that closes it."""
    depth = 0
    for token, at in _tokens(body, start):
        change = _depth(token)
        if token == b"," and depth == 1:
            yield at
        elif depth + change <= 0 and change < 0:
            yield at + depth - 1  # of a run of brackets, the one that closes the list
            return
        depth += change


def _tokens(body: bytes, start: int) -> Iterator[tuple[bytes, int]]:
    for number, found in enumerate(_TOKENS.finditer(body, start)):
        if number >= MOST_TOKENS:
            return
        yield found[0], found.start()


def _depth(token: bytes) -> int:
    if token[:1] in b"[{":
        return len(token)
    return -len(token) if token[:1] in b"]}" else 0
