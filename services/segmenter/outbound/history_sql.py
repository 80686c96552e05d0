"""Transitions as rows: the statements, and the way there and back."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.segmenter.domain.transition import Evidence, Transition
from services.segmenter.usecases.ports import Retraction
from shared.database.arrays import NULL, InstantTexts, copied
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

_INSTANTS = {"last_seen", "since"}
_EVIDENCE = set(Evidence.__struct_fields__)


def lines(transitions: Sequence[Transition]) -> bytes:
    """Return the transitions in COPY's text format, in the order of `COLUMNS`."""
    text_of = InstantTexts()
    return "".join(
        [
            f"{each.transition_id}\t{copied(each.user_id)}\t{each.kind}\t"
            f"{NULL if each.before is None else each.before}\t{each.after}\t{text_of[each.at]}\t"
            f"{text_of[each.recorded_at]}\t{each.reason}\t{each.policy_version}\t"
            f"{each.historical}\t{copied(_evidence_json(each.evidence))}\n"
            for each in transitions
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


def _evidence_json(evidence: Evidence) -> str:
    given = {name: value for name in _EVIDENCE if (value := getattr(evidence, name)) is not None}
    return json.dumps(given, default=datetime.isoformat)


def _evidence_of(text: str) -> Evidence:
    given = json.loads(text)
    read: dict[str, Any] = {
        name: datetime.fromisoformat(given[name]) if name in _INSTANTS else given[name]
        for name in _EVIDENCE & given.keys()
    }
    return Evidence(**read)
