"""Compares what was acknowledged, what the log holds and what Postgres says; believes none of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from shared.contracts import topics
from shared.database.connection import Connection
from tests.chaos import definitions
from tests.chaos import report as r
from tests.chaos.changes import Operator
from tests.chaos.load import Ledger
from tests.chaos.oracle import Laws, Step, history
from tests.chaos.people_log import PeopleLog
from tests.chaos.report import Report
from tests.chaos.sent import Sent
from tests.chaos.topics import Logged, read_events, read_transitions
from tests.system.progress import end_offsets

# Requests in flight when the clock was read: what a watermark stays behind by.
MARGIN = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run leaves behind to be checked. `went_back`: Postgres lost its last seconds once."""

    dsn: str
    bootstrap: str
    ledger: Ledger
    operator: Operator
    until: datetime
    filter_is_on: bool
    went_back: bool


async def verify(facts: Facts, report: Report) -> None:
    """Check everything; what is wrong goes into the report."""
    logged = read_events(facts.bootstrap)
    log = PeopleLog(logged, facts.filter_is_on)
    connection = await asyncpg.connect(facts.dsn)
    try:
        laws = await definitions.read_laws(connection)
        check_acknowledged(facts.ledger, logged, report)
        await check_effects(connection, facts, logged, report)
        await check_users(connection, facts, log, laws, report)
        await check_ledger(connection, facts, report)
        await check_transitions(connection, facts, log, laws, report)
        await check_false_churn(connection, log, report)
        await check_messages(connection, facts, report)
        await check_alerts(connection, facts, report)
        await check_leftovers(connection, report)
        await definitions.check_policies(connection, facts.operator, report)
        await definitions.check_merges(connection, log, report)
        await definitions.check_funnels(connection, facts.operator, log, report)
        await definitions.check_jobs(connection, report)
    finally:
        await connection.close()
    report.evidence |= {
        "events sent": len(facts.ledger.sent),
        "events acknowledged": len(facts.ledger.acknowledged),
        "records in the log": len(logged),
        "answers": dict(sorted(facts.ledger.answers.items())),
    }


def check_acknowledged(ledger: Ledger, logged: Sequence[Logged], report: Report) -> None:
    """Nothing that was acknowledged may be missing from the log, or stand there changed."""
    in_log = {event.event_id: event for event in logged}
    for event_id in ledger.acknowledged:
        found, sent = in_log.get(event_id), ledger.sent[event_id]
        if found is None:
            report.find(r.LOST, f"{event_id} was acknowledged and is not in the log")
        elif _said(found) != _said(sent):
            report.find(r.ALTERED, f"sent {sent}, logged {found}")
    for event_id, code in ledger.refused.items():
        report.find(r.ALTERED, f"{event_id} was refused: {code}")


async def check_effects(
    connection: Connection, facts: Facts, logged: Sequence[Logged], report: Report
) -> None:
    """Each event of the log took effect once; with the filter off, each record did."""
    rows = await connection.fetch("SELECT event_id, count(*) AS times FROM events GROUP BY 1")
    applied = {row["event_id"]: row["times"] for row in rows}
    wanted = Counter(event.event_id for event in logged)
    for event_id, records in wanted.items():
        times = applied.get(event_id, 0)
        due = 1 if facts.filter_is_on else records
        if times < due:
            report.find(r.LOST, f"{event_id} stands {records} times in the log, applied {times}")
        if times > due:
            report.find(r.DUPLICATED, f"{event_id} applied {times} times instead of {due}")
    for event_id in applied.keys() - wanted.keys():
        report.find(r.DRIFTING, f"{event_id} was applied and is not in the log")


async def check_users(
    connection: Connection, facts: Facts, log: PeopleLog, laws: Laws, report: Report
) -> None:
    """Each user's figures equal those made from the log alone, whatever ids they come under."""
    users = await connection.fetch("SELECT * FROM users WHERE merged_into IS NULL")
    rows = {row["user_id"]: row for row in users}
    for user_id in log.instants.keys() | rows.keys():
        row, known = rows.get(user_id), log.instants.get(user_id)
        if row is None or known is None:
            report.find(r.DRIFTING, f"{user_id}: in the log {bool(known)}, a user {bool(row)}")
            continue
        last = history(known, until=facts.until, laws=laws)[-1]
        found = (
            row["event_count"], row["first_seen"], row["last_seen"],
            row["lifecycle"], row["lifecycle_since"],
        )  # fmt: skip
        due = (log.counts[user_id], min(known), max(known), last.after, last.at)
        if found[0] > due[0]:
            report.find(r.DUPLICATED, f"{user_id}: counted {found[0]} events instead of {due[0]}")
        if found != due:
            report.find(r.DRIFTING, f"{user_id}: {found} instead of {due}")


async def check_ledger(connection: Connection, facts: Facts, report: Report) -> None:
    """Each partition's batches tile its offsets up to the log's end, and epochs never fall."""
    rows = await connection.fetch("SELECT * FROM batch_ledger ORDER BY id")
    at: dict[tuple[str, str, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in rows:
        key = (row["grp"], row["topic"], row["part"])
        offset, epoch = at[key]
        if row["epoch"] < epoch:
            report.find(r.STALE_OWNER, f"after epoch {epoch}: {dict(row)}")
        if row["from_offset"] != offset:
            report.find(r.TORN_LEDGER, f"expected to go on at {offset}: {dict(row)}")
        at[key] = (max(offset, row["to_offset"]), max(epoch, row["epoch"]))
    for part, end in end_offsets(facts.bootstrap, topics.EVENTS.name).items():
        if (offset := at["segmenter", topics.EVENTS.name, part][0]) != end:
            report.find(r.UNSEEN, f"partition {part}: folded up to {offset} of {end}")
    report.evidence["batches in the ledger"] = len(rows)


async def check_transitions(
    connection: Connection, facts: Facts, log: PeopleLog, laws: Laws, report: Report
) -> None:
    """What stands is what an independent recomputation says, no more and no less."""
    rows = await connection.fetch(
        "SELECT user_id, before, after, at FROM transitions WHERE retracted_at IS NULL"
    )
    stands: dict[str, Counter[Step]] = defaultdict(Counter)
    for row in rows:
        if row["at"] <= facts.until:
            stands[row["user_id"]][Step(row["at"], row["before"], row["after"])] += 1
    for user_id in log.instants.keys() | stands.keys():
        known = log.instants.get(user_id, [])
        due = Counter(history(known, until=facts.until, laws=laws))
        if stands[user_id] != due:
            missing, extra = due - stands[user_id], stands[user_id] - due
            report.find(
                r.WRONG_TRANSITION,
                f"{user_id}: missing {_steps(missing)}, too many {_steps(extra)}",
            )
    report.evidence["transitions that stand"] = len(rows)


async def check_false_churn(connection: Connection, log: PeopleLog, report: Report) -> None:
    """No silence may be declared over an event that had been received by then.

    Whose ids come by several partitions may be written as silent between what is known by the one and by the
    other, until the rest comes: a silence that was over, by what had come by another partition.
    """
    rules = await definitions.rules_by_version(connection)
    activity: dict[str, list[Logged]] = defaultdict(list)
    for event in log.records:
        activity[event.user_id].append(event)
    rows = await connection.fetch(
        "SELECT user_id, after, at, policy_version, recorded_at FROM transitions"
        " WHERE after IN ('silent', 'churned') AND reason = 'time_passed'"
    )
    for row in rows:
        silent_after = rules[row["policy_version"]].silent_after
        for event in activity[row["user_id"]]:
            waited = event.received_at <= row["at"] - MARGIN
            if waited and row["at"] - silent_after < event.timestamp <= row["at"]:
                known = [each for one in log.close[row["user_id"]] for each in activity[one]]
                if not any(_ends(row, each) for each in known if each.part != event.part):
                    report.find(r.FALSE_CHURN, f"{dict(row)} over {event}")
    report.evidence["silences checked"] = len(rows)


def _ends(silence: Mapping[str, Any], event: Logged) -> bool:
    """Say whether the silence was over by this event, which was there when it was written."""
    return bool(event.timestamp >= silence["at"] and event.received_at <= silence["recorded_at"])


async def check_messages(connection: Connection, facts: Facts, report: Report) -> None:
    """Every transition and every retraction was published; nothing else was."""
    rows = await connection.fetch("SELECT transition_id, retracted_at FROM transitions")
    due = {(str(row["transition_id"]), "written") for row in rows} | {
        (str(row["transition_id"]), "retracted") for row in rows if row["retracted_at"] is not None
    }
    published = read_transitions(facts.bootstrap)
    for missing in due - set(published):
        report.find(r.UNSENT, missing)
    # What was sent before the database went back can't be recalled: readers know it by its id.
    if not facts.went_back:
        for phantom in set(published) - due:
            report.find(r.PHANTOM_MESSAGE, phantom)
    report.evidence["transition messages"] = f"{len(published)}, {len(set(published))} different"


async def check_alerts(connection: Connection, facts: Facts, report: Report) -> None:
    """One alert for each live churn that stands; none for what never was.

    Where the database went back, a churn that had been published can't be recalled, and may not come
    again: its alert is no phantom. It must not fire for somebody who is not churned all the same.
    """
    for row in await connection.fetch(_MISSED):
        history = await connection.fetch(_HISTORY, row["user_id"])
        report.find(r.MISSED_ALERT, f"{dict(row)} among {[tuple(each) for each in history]}")
    published = (
        {each for each, _ in read_transitions(facts.bootstrap)} if facts.went_back else set()
    )
    for row in await connection.fetch(_WITHOUT_CHURN):
        if str(row["transition_id"]) not in published:
            report.find(r.PHANTOM_ALERT, dict(row))
    for row in await connection.fetch(_PHANTOM):
        report.find(r.PHANTOM_ALERT, dict(row))
    report.evidence["alerts"] = await connection.fetchval("SELECT count(*) FROM alerts")


async def check_leftovers(connection: Connection, report: Report) -> None:
    letters = await connection.fetch(
        "SELECT dead_letter_id, code, reason FROM dead_letters WHERE code <> ALL($1)",
        definitions.REFUSED_CLAIMS,
    )
    for row in letters:
        report.find(r.DEAD_LETTER, dict(row))
    frozen = await connection.fetch(
        "SELECT grp, topic, part, frozen_reason FROM consumer_partition"
        " WHERE frozen_reason IS NOT NULL"
    )
    for row in frozen:
        report.find(r.FROZEN, dict(row))
    if unsent := await connection.fetchval("SELECT count(*) FROM outbox_messages"):
        report.find(r.UNSENT, f"{unsent} messages are left in the outbox")


# The history of who has several ids is written by several lanes, each of which sends its part by itself: a churn
# that such a user had left behind before it arrived warns nobody.
_MISSED = """
    SELECT user_id, at, transition_id FROM transitions AS churn
    WHERE after = 'churned' AND retracted_at IS NULL AND NOT historical
      AND NOT EXISTS (SELECT FROM alerts WHERE alerts.transition_id = churn.transition_id)
      AND NOT (EXISTS (SELECT FROM users WHERE merged_into = churn.user_id)
               AND EXISTS (SELECT FROM transitions AS later
                           WHERE later.user_id = churn.user_id AND later.at > churn.at
                             AND later.retracted_at IS NULL))
"""
_HISTORY = """
    SELECT at::text, after, reason, policy_version, recorded_at::text, retracted_at::text, retracted_because,
           historical, transition_id::text, (SELECT state FROM alerts AS a WHERE a.transition_id = t.transition_id)
    FROM transitions AS t WHERE user_id = $1 AND 'churned' IN (before, after) ORDER BY at, recorded_at
"""
_WITHOUT_CHURN = """
    SELECT alert_id, user_id, state, transition_id, 'no such churn' AS why FROM alerts
    WHERE NOT EXISTS (SELECT FROM transitions WHERE transitions.after = 'churned'
                      AND transitions.transition_id = alerts.transition_id)
"""
# Two alerts of one churn, or one that fires though its user is not churned, or is another by now.
_PHANTOM = """
    SELECT min(alert_id::text)::uuid AS alert_id, min(user_id) AS user_id, min(state) AS state,
           'two of one churn' AS why
    FROM alerts
    GROUP BY transition_id HAVING count(*) > 1
    UNION ALL
    SELECT alert_id, user_id, state, 'fires for a user who is not churned'
    FROM alerts JOIN users USING (user_id)
    WHERE state = 'firing' AND (lifecycle <> 'churned' OR merged_into IS NOT NULL)
"""


def _said(event: Sent | Logged) -> tuple[object, ...]:
    return event.user_id, event.timestamp, event.type, event.name, event.claimed


def _steps(steps: Counter[Step]) -> list[str]:
    return [f"{step.before}→{step.after} at {step.at.isoformat()}" for step in sorted(steps)]
