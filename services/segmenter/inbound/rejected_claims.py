"""Claims that do not hold, kept among the dead letters. Their events count all the same."""

from collections.abc import Sequence

from services.segmenter.domain.identity import ClaimFault
from services.segmenter.usecases.judge_claims import Rejected
from services.segmenter.usecases.ports import Folding
from shared.contracts.dead_letters import DeadLetter
from shared.database import dead_letters
from shared.database.connection import Connection, translated
from shared.database.dead_letters import Place
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
    ClaimFault.TOO_LATE: "it contradicts a later event, and the event log no longer tells them apart",
}


async def keep_rejected(
    connection: Connection, batch: Batch, events: Sequence[Folding], rejected: Sequence[Rejected]
) -> None:
    """Keep the records whose claims do not hold where operators see them, in the batch's transaction."""
    if not rejected:
        return
    offsets: dict[tuple[str, str], int] = {}
    for event in events:
        offsets.setdefault(event.key, event.offset)
    records = {record.offset: record for record in batch.records}
    letters = []
    for each in rejected:
        record = records[offsets[each.claim.source, each.claim.event_id]]
        letter = DeadLetter(
            dead_letter_id=f"{batch.group}/{batch.topic}/{batch.part}/{record.offset}/claim",
            code=each.fault.value,
            field=None,
            reason=f"{each.claim.claimed!r} is not made an id of {each.claim.target!r}: {REASONS[each.fault]}",
            origin=batch.group,
            refused_at=batch.now,
            value=record.value,
            key=record.key,
            source=each.claim.source,
        )
        letters.append((letter, Place(batch.topic, batch.part, record.offset)))
    with translated():
        await dead_letters.insert(connection, letters)
