"""The counters as stored, summed over their shards, to be compared with a recount."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.segmenter.domain.lifecycle import Step
from shared.database.connection import Connection
from shared.vocabulary import Lifecycle, TransitionReason
from tests.unit.segmenter import oracle
from tests.unit.segmenter.counting_oracle import Counted

TABLES = "active_users, retention, lifecycle_flows, lifecycle_flow_months"


async def stored(owner: Connection) -> Counted:
    """Return every cell that is not zero, keyed as the recount keys them."""
    active = await owner.fetch(
        "SELECT period, dimension, start, value, sum(users), sum(new_users) FROM active_users"
        " GROUP BY 1, 2, 3, 4"
    )
    return Counted(
        users=_cells((*row[:4], row[4]) for row in active),
        new_users=_cells((*row[:4], row[5]) for row in active),
        retention=_cells(
            await owner.fetch(
                "SELECT period, dimension, cohort, value, age, sum(users) FROM retention"
                " GROUP BY 1, 2, 3, 4, 5"
            )
        ),
        flows=_cells(
            await owner.fetch(
                "SELECT dimension, hour, value, before, after, sum(transitions)"
                " FROM lifecycle_flows GROUP BY 1, 2, 3, 4, 5"
            )
        ),
        months=_cells(
            await owner.fetch(
                "SELECT dimension, month, value, before, after, sum(transitions)"
                " FROM lifecycle_flow_months GROUP BY 1, 2, 3, 4, 5"
            )
        ),
    )


def steps_of(changes: Mapping[str, Sequence[oracle.Change]]) -> dict[str, list[Step]]:
    return {user_id: [_step(each) for each in of_user] for user_id, of_user in changes.items()}


def _step(change: oracle.Change) -> Step:
    at, before, after = change
    was = None if before is None else Lifecycle(before)
    return Step(at, was, Lifecycle(after), TransitionReason.TIME_PASSED, policy_version=1)


def _cells(rows: Iterable[Sequence[object]]) -> Counter[Any]:
    return Counter({tuple(row[:-1]): int(str(row[-1])) for row in map(tuple, rows) if row[-1]})
