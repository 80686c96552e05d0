"""Compares merges, funnels and policies with the log and with what the operator was told."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from shared.database.connection import Connection
from tests.chaos import report as r
from tests.chaos.changes import WINDOW, Operator
from tests.chaos.oracle import FIRST, Laws, Rules
from tests.chaos.people import STEPS
from tests.chaos.people_log import PeopleLog
from tests.chaos.report import Report
from tests.chaos.topics import Logged
from tests.unit.segmenter import funnel_oracle
from tests.unit.segmenter.funnel_oracle import Happened

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Why a claim may be kept among the dead letters: the load makes such claims on purpose.
REFUSED_CLAIMS = ("claimed_by_another", "merge_cycle")
# The record as it came, or, of a claim that held until an earlier one came, what the client had sent.
_LETTERS = """
    SELECT coalesce(value ->> 'event_id', value ->> 'id') AS event_id
    FROM (SELECT convert_from(value, 'UTF8')::jsonb AS value FROM dead_letters
          WHERE code = ANY($1)) AS letters
"""
Cells = dict[tuple[date, int], int]


async def read_laws(connection: Connection) -> Laws:
    """Return what held since when, after the first policy, as it stands."""
    rows = await connection.fetch(
        "SELECT activated_at AS at, new_for, silent_after, churned_after, returned_for"
        " FROM policies WHERE activated_at IS NOT NULL AND version > 1 ORDER BY activated_at"
    )
    return [(row["at"], Rules(*list(row.values())[1:])) for row in rows]


async def rules_by_version(connection: Connection) -> dict[int, Rules]:
    rows = await connection.fetch(
        "SELECT version, new_for, silent_after, churned_after, returned_for FROM policies"
    )
    return {row["version"]: Rules(*list(row.values())[1:]) for row in rows}


async def check_policies(connection: Connection, operator: Operator, report: Report) -> None:
    """What was acknowledged stands, and everybody was brought up to it."""
    rows = await connection.fetch("SELECT version, activated_at FROM policies")
    stands = {row["version"]: row["activated_at"] for row in rows}
    rules = await rules_by_version(connection)
    for version, (at, told) in operator.activated.items():
        if stands.get(version) != at or rules.get(version) != told:
            report.find(r.LOST_CHANGE, f"policy {version} of {at}: {stands.get(version)}")
    if rules.get(1) != FIRST:
        report.find(r.LOST_CHANGE, f"policy 1 is {rules.get(1)}")
    active = max((version for version, at in stands.items() if at is not None), default=1)
    behind = await connection.fetch(
        "SELECT user_id, policy_version FROM users"
        " WHERE merged_into IS NULL AND policy_version <> $1",
        active,
    )
    for row in behind:
        report.find(r.DRIFTING, f"{dict(row)} and not {active}")
    report.evidence["policies activated"] = len(operator.activated)


async def check_merges(connection: Connection, log: PeopleLog, report: Report) -> None:
    """Each id is whose the claims in the log say; the claims that do not hold were kept."""
    rows = await connection.fetch("SELECT user_id, merged_into FROM users")
    merged = {row["user_id"]: row["merged_into"] for row in rows if row["merged_into"]}
    due = {claimed: log.home(claimed) for claimed in log.parents}
    for user_id in due.keys() | merged.keys():
        if due.get(user_id) != merged.get(user_id):
            said = f"is {merged.get(user_id)}'s instead of {due.get(user_id)}'s"
            report.find(r.WRONG_MERGE, f"{user_id} {said}")
    await _check_claims(connection, log, report)
    letters = await connection.fetchval(
        "SELECT count(*) FROM dead_letters WHERE code = ANY($1)", REFUSED_CLAIMS
    )
    report.evidence["ids merged"] = f"{len(due)} by {len(log.claims)} claims, {letters} refused"


async def _check_claims(connection: Connection, log: PeopleLog, report: Report) -> None:
    """Of all claims of an id the one that holds is known, and each other has its dead letter."""
    due = {(claim.claimed, claim.user_id) for claim in log.claims}
    rows = await connection.fetch("SELECT claimed, target, fault, event_id FROM identity_claims")
    known = {(row["claimed"], row["target"]): row for row in rows}
    for pair in due ^ known.keys():
        report.find(r.WRONG_MERGE, f"{pair}: claimed {pair in due}, known {pair in known}")
    kept = await connection.fetch(_LETTERS, REFUSED_CLAIMS)
    letters = {row["event_id"] for row in kept}
    pairs = {each.event_id: (each.claimed, each.user_id) for each in log.claims}
    told = {pairs.get(event_id) for event_id in letters}
    for (claimed, target), row in known.items():
        holds = log.parents.get(claimed) == target
        if holds != (row["fault"] is None):
            report.find(r.WRONG_MERGE, f"{claimed} is {target}'s: {row}")
        if not holds and (claimed, target) not in told:
            report.find(r.WRONG_MERGE, f"{claimed} is {target}'s: refused without a dead letter")


async def check_funnels(
    connection: Connection, operator: Operator, log: PeopleLog, report: Report
) -> None:
    """Each funnel counts what a search through everybody's events finds, whenever it was defined."""
    due = _cells(log)
    rows = await connection.fetch("SELECT name, funnel_id, state FROM funnels")
    stands = {row["name"]: row for row in rows}
    for name, funnel_id in operator.funnels.items():
        row = stands.get(name)
        if row is None or (row["funnel_id"], row["state"]) != (funnel_id, "live"):
            report.find(r.LOST_CHANGE, f"funnel {name}, {funnel_id}: {row}")
            continue
        found = await _stored(connection, funnel_id)
        for cell in due.keys() | found.keys():
            if due.get(cell, 0) != found.get(cell, 0):
                counts = f"{found.get(cell, 0)} instead of {due.get(cell, 0)}"
                report.find(r.WRONG_FUNNEL, f"{name} on {cell[0]}, step {cell[1]}: {counts}")
    through = sum(count for (_, step), count in due.items() if step == len(STEPS))
    report.evidence["funnels"] = f"{len(operator.funnels)}, each made to its end {through} times"


async def check_jobs(connection: Connection, report: Report) -> None:
    for row in await connection.fetch("SELECT kind, state, error FROM jobs WHERE state <> 'done'"):
        report.find(r.UNFINISHED_JOB, dict(row))


async def _stored(connection: Connection, funnel_id: int) -> Cells:
    rows = await connection.fetch(
        "SELECT day, step, sum(users)::bigint AS users FROM funnel_counts"
        " WHERE funnel_id = $1 GROUP BY day, step HAVING sum(users) <> 0",
        funnel_id,
    )
    return {(row["day"], row["step"]): row["users"] for row in rows}


def _cells(log: PeopleLog) -> Cells:
    users: dict[str, list[Happened]] = {}
    for event in log.once:
        if event.name in STEPS:
            users.setdefault(log.home(event.user_id), []).append(_happened(event))
    cells = funnel_oracle.cells(_depths(each) for each in users.values())
    return {(date.fromordinal(day), step): count for (day, step), count in cells.items()}


def _happened(event: Logged) -> Happened:
    at = (event.timestamp - _EPOCH) // _MICROSECOND
    return Happened(at, 1 << STEPS.index(str(event.name)), event.event_id)


def _depths(happened: Iterable[Happened]) -> Mapping[int, int]:
    """Return day → how many steps were made. No way leads over a gap as long as the window."""
    found: Counter[int] = Counter()
    for several in _apart(sorted(happened, key=lambda each: each.at)):
        depths = funnel_oracle.depths(
            several, steps=len(STEPS), window=WINDOW // _MICROSECOND, day_of=_day_of
        )
        found |= Counter(depths)
    return found


def _apart(happened: Iterable[Happened]) -> Iterator[list[Happened]]:
    several: list[Happened] = []
    for each in happened:
        if several and each.at - several[-1].at > WINDOW // _MICROSECOND:
            yield several
            several = []
        several.append(each)
    if several:
        yield several


def _day_of(at: int) -> int:
    return _EPOCH.toordinal() + at // (timedelta(days=1) // _MICROSECOND)
