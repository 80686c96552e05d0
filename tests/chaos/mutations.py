"""The system with one safeguard taken out: the harness is worth something only if it notices each.

A mutation is a replacement in a copy of the code. Its text must stand there exactly once: where the
code has moved on, the mutation fails loudly instead of testing nothing.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import faults
from tests.chaos import report as r
from tests.chaos.campaign import Campaign
from tests.chaos.faults import Fault
from tests.chaos.people import LoadPlan
from tests.chaos.report import Report
from tests.system.stack import ROOT

COPIED = ("services", "shared")


class TextNotFound(LookupError):
    """The text to replace is not in the file exactly once."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One safeguard removed, and the faults that show what it was for: any finding of `shows`."""

    name: str
    path: str
    text: str
    instead: str
    shows: Sequence[str]
    faults: Sequence[Fault] = ()
    repeated: float = 0.0
    has_backlog: bool = False
    pause_s: float = 1.5
    rounds: int = field(default=1)
    # Without its safeguard a system may never come to rest.
    heal_s: float = 30.0

    def tree(self, directory: Path) -> Path:
        """Return a copy of the code with the safeguard removed."""
        for name in COPIED:
            shutil.copytree(
                ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        path = directory / self.path
        code = path.read_text()
        if code.count(self.text) != 1:
            raise TextNotFound(f"{self.name}: {code.count(self.text)} times in {self.path}")
        path.write_text(code.replace(self.text, self.instead))
        return directory

    def noticed_by(self, report: Report) -> bool:
        """Say whether the run found what the safeguard prevents, not just some trouble."""
        return any(kind in report.findings for kind in self.shows)

    def campaign(self, directory: Path, *, seed: int) -> Campaign:
        """Return the shortest run that must find fault with this."""
        return Campaign(
            faults=list(self.faults) * self.rounds,
            seed=seed,
            tree=self.tree(directory),
            plan=LoadPlan(repeated=self.repeated),
            has_backlog=self.has_backlog,
            has_operator=False,
            pause_s=self.pause_s,
            heal_s=self.heal_s,
        )


FENCE = Mutation(
    "fence",
    "shared/lanes/fold.py",
    "await self._stand_the_fence(turn.position)",
    'await self._connection.execute("BEGIN")',
    shows=(r.STALE_OWNER, r.TORN_LEDGER),
    faults=(faults.claim_by_force,),
    # It does not: what it is to show stands in the ledger by then.
    heal_s=5.0,
)
OFFSET = Mutation(
    "offset",
    "shared/lanes/fold.py",
    "await lease.advance_and_commit(self._connection, self._partition, progress)",
    'await self._connection.execute("COMMIT; BEGIN")\n'
    "            await lease.advance_and_commit(self._connection, self._partition, progress)",
    shows=(r.OFFSET_APART, r.TORN_LEDGER),
    faults=(faults.kill_segmenter,),
    pause_s=3.0,
)
WATERMARK = Mutation(
    "watermark",
    "shared/lanes/watermark.py",
    "candidates.append(min(instant_of(newest_ms), now))",
    "candidates.append(now)",
    shows=(r.FALSE_CHURN,),
    has_backlog=True,
)
FILTER = Mutation(
    "filter",
    "services/segmenter/usecases/fold_events.py",
    "fresh = await _without_repeats(events, store=store, since=oldest - DUPLICATE_WINDOW)",
    "fresh = list(events)",
    shows=(r.DUPLICATED,),
    repeated=0.1,
)
ACK = Mutation(
    "ack",
    "services/ingest/outbound/event_topic.py",
    "outcomes = await self._log.append_many([*events, *texts, *letters])",
    "records = [*events, *texts, *letters]\n"
    "        import asyncio\n"
    "        self._unheard = asyncio.ensure_future(self._log.append_many(records))\n"
    "        outcomes = [Outcome.ACCEPTED] * len(records)",
    shows=(r.LOST,),
    faults=(faults.kill_ingest_while_the_broker_is_frozen,),
)

ALL = (FENCE, FILTER, OFFSET, ACK, WATERMARK)

# What befalls the lanes. Not the broker and ingest: their retries put one event into the log twice.
_FAULTS_OF_LANES = (
    faults.kill_segmenter,
    faults.claim_by_force,
    faults.restart_postgres_at_once,
    faults.freeze_beyond_the_lease,
    faults.scale_out_and_in,
    faults.kill_second_segmenter,
)


def without_filter(directory: Path, *, seed: int) -> Campaign:
    """Return a run that must be clean although nothing drops repeats: fence and transaction alone.

    With the filter on, a missing fence leaves every user right; only a run without it shows.
    """
    return Campaign(
        faults=_FAULTS_OF_LANES,
        seed=seed,
        tree=FILTER.tree(directory),
        plan=LoadPlan(repeated=0.0),
        filter_is_on=False,
        has_backlog=False,
        has_operator=False,
    )
