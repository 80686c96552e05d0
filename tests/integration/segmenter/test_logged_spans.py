"""Spans from the event log: of any grain, and of all ids that are one user's, what the definition says."""

import random
from datetime import timedelta

import pytest

from services.segmenter.domain.spans import add_instants
from services.segmenter.outbound.profile_store import PostgresStore
from tests.integration.segmenter.kit import DAY, START, Site, event

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)
HOMES = {f"u{number}": f"u{number % 2}" for number in range(6)}

_INSERT = """
INSERT INTO events (source, event_id, received_at, user_id, type, "timestamp", active, part, kafka_offset, payload)
VALUES ('web', $1, $2, $3, 'track', $4, $5, 0, 0, '{}')
"""


@pytest.mark.parametrize(
    "grain", [HOUR, 7 * HOUR + timedelta(microseconds=1), DAY, 7 * DAY, 400 * DAY]
)
async def test_the_spans_are_those_of_all_active_events_of_the_user(
    site: Site, grain: timedelta
) -> None:
    draw = random.Random(str(grain))
    await site.fold(*(event(user_id, START) for user_id in HOMES))
    instants = {home: [START] for home in HOMES.values()}
    for number in range(600):
        user_id, active = draw.choice(list(HOMES)), draw.random() < 0.9
        # Often a gap of just the grain, of which every border is one.
        at = START + draw.choice((HOUR, DAY, grain)) * draw.randrange(2_000) / draw.choice((1, 7))
        await site.owner.execute(_INSERT, str(number), START, user_id, at, active)
        if active:
            instants[HOMES[user_id]].append(at)
    for user_id, home in HOMES.items():
        if user_id != home:
            await site.owner.execute(
                "UPDATE users SET merged_into = $2 WHERE user_id = $1", user_id, home
            )

    desk = await site.desk()
    found = await PostgresStore(desk.connection).logged(list(instants), grain=grain)

    assert {home: each.spans for home, each in found.items()} == {
        home: add_instants((), theirs, silent_after=grain) for home, theirs in instants.items()
    }
