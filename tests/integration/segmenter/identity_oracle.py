"""Whose each id is, and what each user did, straight from the definition: one claim after the other."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.segmenter.domain.origin import origin_of
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection
from shared.vocabulary import EventType
from tests.integration.segmenter import counts, told_apart
from tests.integration.segmenter.kit import ZONE
from tests.unit.segmenter import oracle
from tests.unit.segmenter.counting_oracle import Did, recount
from tests.unit.segmenter.oracle import DEFAULTS, Laws


def claimed_by(event: EventEnvelope) -> str | None:
    """Return the id that the event says is its user's, too."""
    if event.type is EventType.ALIAS:
        return event.previous_id
    return event.anonymous_id if event.type is EventType.IDENTIFY else None


def homes_of(events: Collection[EventEnvelope]) -> dict[str, str]:
    """Return id → user, for ids that are another's."""
    parents: dict[str, str] = {}

    def root_of(user_id: str) -> str:
        while user_id in parents:
            user_id = parents[user_id]
        return user_id

    for event in sorted(events, key=lambda each: (each.timestamp, each.source, each.event_id)):
        claimed = claimed_by(event)
        if claimed and claimed not in parents and root_of(event.user_id) != claimed:
            parents[claimed] = event.user_id
    return {each: root_of(each) for each in parents}


@dataclass
class Truth:
    """Every event that was sent, once."""

    events: dict[str, EventEnvelope] = field(default_factory=dict)

    def note(self, events: Sequence[EventEnvelope]) -> None:
        for each in events:
            self.events.setdefault(each.event_id, each)

    @property
    def homes(self) -> dict[str, str]:
        return homes_of(self.events.values())

    def deeds(self) -> list[Did]:
        homes = self.homes
        return [
            Did(
                homes.get(each.user_id, each.user_id),
                each.timestamp,
                origin_of(bytes(each.payload)),
            )
            for each in self.events.values()
            if each.active
        ]


FIRST_LAW: Laws = ((datetime.min.replace(tzinfo=UTC), DEFAULTS),)


async def check(owner: Connection, truth: Truth, laws: Laws = FIRST_LAW) -> None:
    """Compare users, history, counts and whose each id is with what they must be.

    `laws`: the policies, of which each user knows the first ones.
    """
    done: dict[str, list[datetime]] = {}
    for each in truth.deeds():
        done.setdefault(each.user_id, []).append(each.at)
    rows = await owner.fetch("SELECT * FROM users")
    users = {row["user_id"]: row for row in rows if row["merged_into"] is None}
    merged = {row["user_id"]: row["merged_into"] for row in rows if row["merged_into"]}
    assert merged == truth.homes
    assert users.keys() == done.keys()
    standing = await standing_of(owner)
    assert standing.keys() == done.keys()
    for user_id, row in users.items():
        settled = max(row["last_seen"], row["lifecycle_since"])
        known = laws[: row["policy_version"]]
        steps = oracle.history_under(done[user_id], known, settled)
        assert standing[user_id] == steps
        assert (row["lifecycle_since"], row["lifecycle"]) == (steps[-1][0], steps[-1][2])
        assert (row["first_seen"], row["last_seen"]) == (min(done[user_id]), max(done[user_id]))
        assert row["event_count"] == len(done[user_id])
        if len(known) > 1:
            continue
        deadline = None if row["deadline"] is None else (row["deadline"], row["deadline_to"])
        assert deadline == oracle.next_change(done[user_id], DEFAULTS, settled)
    deeds = await told_apart.counted(owner, truth.deeds())
    assert await counts.stored(owner) == recount(deeds, ZONE, counts.steps_of(standing))


async def standing_of(owner: Connection) -> dict[str, list[oracle.Change]]:
    found: dict[str, list[oracle.Change]] = {}
    for row in await owner.fetch(
        "SELECT * FROM transitions WHERE retracted_at IS NULL ORDER BY at"
    ):
        change = row["at"], row["before"], row["after"]
        found.setdefault(row["user_id"], []).append(change)
    return found
