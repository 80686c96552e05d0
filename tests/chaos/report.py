"""What a run found, in the words of the fault catalogue; everything but the evidence must be zero."""

from dataclasses import dataclass, field

SHOWN = 3


@dataclass
class Report:
    """Findings by kind, with examples, and how much was done to find them."""

    findings: dict[str, list[str]] = field(default_factory=dict)
    evidence: dict[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def find(self, kind: str, what: object) -> None:
        self.findings.setdefault(kind, []).append(str(what))

    @property
    def clean(self) -> bool:
        return not self.findings

    def text(self) -> str:
        lines = [f"  {name:<28} {value}" for name, value in self.evidence.items()]
        lines += [f"  fault: {fault}" for fault in self.faults]
        for kind in KINDS:
            lines.append(f"  {kind:<28} {len(self.findings.get(kind, []))}")
            lines += [f"      {what[:600]}" for what in self.findings.get(kind, [])[:SHOWN]]
        lines.append("  CLEAN" if self.clean else "  NOT CLEAN")
        return "\n".join(lines)


LOST = "lost"
ALTERED = "altered"
DUPLICATED = "duplicated"
UNSEEN = "unseen after heal"
STALE_OWNER = "stale-owner write"
TORN_LEDGER = "torn ledger"
DRIFTING = "drifting figures"
WRONG_TRANSITION = "wrong transition"
FALSE_CHURN = "false churn in a backlog"
UNSENT = "transition never published"
PHANTOM_MESSAGE = "phantom message"
PHANTOM_ALERT = "phantom alert"
MISSED_ALERT = "missed alert"
DEAD_LETTER = "unexpected dead letter"
FROZEN = "frozen partition"
OFFSET_APART = "offset apart from effects"
WRONG_MERGE = "wrong merge"
WRONG_FUNNEL = "wrong funnel count"
LOST_CHANGE = "lost change of the operator"
UNFINISHED_JOB = "unfinished job"

KINDS = (
    LOST,
    ALTERED,
    DUPLICATED,
    UNSEEN,
    STALE_OWNER,
    TORN_LEDGER,
    OFFSET_APART,
    DRIFTING,
    WRONG_MERGE,
    WRONG_FUNNEL,
    LOST_CHANGE,
    UNFINISHED_JOB,
    WRONG_TRANSITION,
    FALSE_CHURN,
    UNSENT,
    PHANTOM_MESSAGE,
    PHANTOM_ALERT,
    MISSED_ALERT,
    DEAD_LETTER,
    FROZEN,
)
