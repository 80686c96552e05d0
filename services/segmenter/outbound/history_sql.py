"""Transitions as rows: the statements, and the way there and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.segmenter.domain.transition import Evidence, Transition
from services.segmenter.usecases.ports import Retraction
from shared.database.arrays import NULL, copied, id_texts, instant_texts
from shared.vocabulary import Lifecycle, TransitionKind, TransitionReason

COLUMNS = (
    "transition_id", "user_id", "kind", "before", "after", "at", "recorded_at", "reason",
    "policy_version", "historical", "evidence",
)  # fmt: skip

# Found by what it says, not by its id: the id knows which correction wrote it.
RETRACT = """
UPDATE transitions AS written
SET retracted_at = $7, retracted_because = coalesce(given.because, $8)
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[])
     AS given (user_id, at, before, after, reason, because)
WHERE written.user_id = given.user_id AND written.at = given.at AND written.kind = 'lifecycle'
  AND written.before IS NOT DISTINCT FROM given.before AND written.after = given.after
  AND written.reason = given.reason AND written.retracted_at IS NULL
  -- Says the same once more, so that only the partitions concerned are opened.
  AND written.at BETWEEN $9 AND $10
RETURNING written.transition_id, written.user_id, written.kind, written.before, written.after,
          written.at, written.recorded_at, written.reason, written.policy_version,
          written.historical, written.evidence
"""

_json_of = msgspec.json.Encoder().encode
_evidence_of = msgspec.json.Decoder(Evidence).decode


def lines(transitions: Sequence[Transition]) -> bytes:
    """Return the transitions in COPY's text format, in the order of `COLUMNS`."""
    ids = id_texts([each.transition_id for each in transitions])
    instants = instant_texts([each.at for each in transitions])
    recorded = instant_texts([each.recorded_at for each in transitions])
    return "".join(
        [
            f"{identity}\t{copied(each.user_id)}\t{each.kind._value_}\t"
            f"{NULL if each.before is None else each.before._value_}\t{each.after._value_}\t{at}\t"
            f"{recorded_at}\t{each.reason._value_}\t{each.policy_version}\t"
            f"{each.historical}\t{copied(_json_of(each.evidence).decode())}\n"
            for each, identity, at, recorded_at in zip(
                transitions, ids, instants, recorded, strict=True
            )
        ]
    ).encode()


def key(retraction: Retraction) -> tuple[Any, ...]:
    step = retraction.step
    before = None if step.before is None else step.before.value
    after, reason = step.after.value, step.reason.value
    return retraction.user_id, step.at, before, after, reason, retraction.because


def transition_of(row: Mapping[str, Any]) -> Transition:
    before = row["before"]
    return Transition(
        row["transition_id"],
        row["user_id"],
        TransitionKind(row["kind"]),
        None if before is None else Lifecycle(before),
        Lifecycle(row["after"]),
        row["at"],
        row["recorded_at"],
        TransitionReason(row["reason"]),
        row["policy_version"],
        row["historical"],
        _evidence_of(row["evidence"]),
    )
