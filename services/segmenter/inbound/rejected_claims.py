"""Claims that do not hold, kept among the dead letters. Their events count all the same."""

from collections.abc import Sequence

from services.segmenter.domain.identity import ClaimFault
from services.segmenter.usecases.judge_claims import Rejected
from services.segmenter.usecases.merge_users import Identities
from services.segmenter.usecases.ports import EventKey, Folding
from shared.contracts.dead_letters import DeadLetter
from shared.database import dead_letters
from shared.database.connection import Connection, translated
from shared.database.dead_letters import Place
from shared.kafka.records import Record
from shared.lanes.work import Batch
from shared.vocabulary import LONGEST_ID

REASONS = {
    ClaimFault.MISSING_ID: "one of its ids is empty",
    ClaimFault.ID_TOO_LONG: f"one of its ids is longer than {LONGEST_ID} characters",
    ClaimFault.NUL_CHARACTER: "one of its ids holds U+0000",
    ClaimFault.JUNK_ID: "one of its ids is not the id of one person",
    ClaimFault.SELF_MERGE: "an id can not be merged into itself",
    ClaimFault.CLAIMED_BY_ANOTHER: "an earlier event says that the id is another user's",
    ClaimFault.MERGE_CYCLE: "earlier events say that the user is this id's: they would go in a circle",
    ClaimFault.TOO_LATE: "it contradicts a later event, and the users can't be told apart any more",
}


async def keep_rejected(
    connection: Connection,
    batch: Batch,
    events: Sequence[Folding],
    rejected: Sequence[Rejected],
    *,
    identities: Identities,
) -> None:
    """Keep the records whose claims do not hold where operators see them, in the batch's transaction.

    Of an event that was folded before, and whose claim held until now, the client's own bytes are kept.
    """
    if not rejected:
        return
    records = _records(batch, events)
    earlier = {each.claim.event_key for each in rejected} - records.keys()
    logged = await identities.logged(earlier) if earlier else {}
    letters = []
    for each in rejected:
        key = each.claim.event_key
        if key in records:
            record = records[key]
            letters.append(_letter(each, batch, batch.part, record.offset, record.value))
        elif key in logged:  # else the event log is shortened
            old = logged[key]
            letters.append(_letter(each, batch, old.part, old.offset, old.payload))
    with translated():
        await dead_letters.insert(connection, letters)


def _records(batch: Batch, events: Sequence[Folding]) -> dict[EventKey, Record]:
    by_offset = {record.offset: record for record in batch.records}
    records: dict[EventKey, Record] = {}
    for event in events:
        records.setdefault(event.key, by_offset[event.offset])
    return records


def _letter(
    rejected: Rejected, batch: Batch, part: int, offset: int, value: bytes
) -> tuple[DeadLetter, Place]:
    claim = rejected.claim
    why = REASONS[rejected.fault]
    letter = DeadLetter(
        dead_letter_id=f"{batch.group}/{batch.topic}/{part}/{offset}/claim",
        code=rejected.fault.value,
        field=None,
        reason=f"{claim.claimed!r} is not made an id of {claim.target!r}: {why}",
        origin=batch.group,
        refused_at=batch.now,
        value=value,
        key=claim.target.encode(),
        source=claim.source,
    )
    return letter, Place(batch.topic, part, offset)
