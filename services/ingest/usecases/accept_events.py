"""Judge each event, keep the admitted and the refused, and say what became of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.ingest.domain.admission import Circumstances, judge
from services.ingest.domain.verdict import Admitted, Refusal
from services.ingest.usecases.ports import EventTopic, Incoming, Kept, Rejected

TOO_LARGE_FOR_LOG = Refusal("refused_by_log", None, "is not taken by the log")


@dataclass(frozen=True, slots=True)
class Offer:
    """One event of a request: its decoded JSON and its bytes; or why it could not be decoded.

    `spelling` turns Segment's name of a field into the client's (None: they are the same).
    """

    fields: Any
    raw: bytes
    undecodable: Refusal | None = None
    spelling: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An event of the request that was refused."""

    index: int
    message_id: str | None
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request. `unsure`: something may be lost unless all of it is sent again."""

    received: int
    accepted: int
    duplicates: int
    faults: tuple[Fault, ...]
    unsure: bool


async def accept_events(
    offers: Sequence[Offer],
    *,
    source: str,
    circumstances: Circumstances,
    topic: EventTopic,
    new_id: Callable[[], str],
) -> Answer:
    """Keep what can be kept. An id that comes twice in one request is kept once."""
    verdicts = [_verdict(offer, circumstances, new_id) for offer in offers]
    first = _first_of_each_id(verdicts)
    incoming = [
        Incoming(verdict, offers[index].raw)
        for index, verdict in enumerate(verdicts)
        if index in first and isinstance(verdict, Admitted)
    ]
    rejected = [
        Rejected(verdict, offers[index].raw)
        for index, verdict in enumerate(verdicts)
        if isinstance(verdict, Refusal)
    ]
    kept, letters = await topic.keep(
        incoming, rejected, source=source, received_at=circumstances.receipt.product
    )
    return _answer(offers, verdicts, dict(zip(sorted(first), kept, strict=True)), letters)


def _verdict(
    offer: Offer, circumstances: Circumstances, new_id: Callable[[], str]
) -> Admitted | Refusal:
    if offer.undecodable is not None:
        return offer.undecodable
    # To make an id costs as much as to judge an event, and nearly all bring one.
    made_id = "" if _brings_id(offer.fields) else new_id()
    verdict = judge(offer.fields, offer.raw, circumstances, made_id=made_id)
    if isinstance(verdict, Refusal) and verdict.field and offer.spelling:
        return replace(verdict, field=offer.spelling(verdict.field))
    return verdict


def _brings_id(fields: Any) -> bool:
    given = fields.get("messageId") if isinstance(fields, dict) else None
    return isinstance(given, str) and not given.isspace() and given != ""


def _first_of_each_id(verdicts: Sequence[Admitted | Refusal]) -> set[int]:
    """Return the indexes of the admitted events that no earlier one of the request repeats."""
    first: dict[str, int] = {}
    for index, verdict in enumerate(verdicts):
        if isinstance(verdict, Admitted):
            first.setdefault(verdict.event_id, index)
    return set(first.values())


def _answer(
    offers: Sequence[Offer],
    verdicts: Sequence[Admitted | Refusal],
    kept: dict[int, Kept],
    letters: Sequence[Kept],
) -> Answer:
    faults = [
        Fault(index, _message_id(offers[index]), verdict)
        for index, verdict in enumerate(verdicts)
        if isinstance(verdict, Refusal)
    ]
    faults += [
        Fault(index, _message_id(offers[index]), TOO_LARGE_FOR_LOG)
        for index, outcome in kept.items()
        if outcome is Kept.REFUSED
    ]
    admitted = sum(isinstance(verdict, Admitted) for verdict in verdicts)
    return Answer(
        received=len(offers),
        accepted=len(offers) - len(faults),
        duplicates=admitted - len(kept),
        faults=tuple(sorted(faults, key=lambda fault: fault.index)),
        unsure=Kept.UNSURE in kept.values() or Kept.UNSURE in letters,
    )


def _message_id(offer: Offer) -> str | None:
    given = offer.fields.get("messageId") if isinstance(offer.fields, dict) else None
    if not isinstance(given, str):
        return None
    # An answer is JSON, which half of a surrogate pair can't stand in.
    return given[:200].encode("utf-8", "replace").decode()
