"""What ingest refused, in its topic, becomes rows that operators read, each once."""

import pytest

from services.segmenter.inbound.dead_letter_lane import DeadLetterLane
from shared.contracts.dead_letters import DeadLetter
from shared.kafka.dead_letter_log import dead_letter_record
from shared.kafka.records import Record
from shared.lanes.work import Batch
from tests.integration.segmenter.kit import START, Site

pytestmark = pytest.mark.postgres


def record(offset: int, letter_id: str) -> Record:
    made = dead_letter_record(
        DeadLetter(
            dead_letter_id=letter_id,
            code="junk_id",
            field="userId",
            reason="'null' is not an id of one person",
            origin="ingest",
            refused_at=START,
            value=b'{"userId":"null"}',
            source="web",
        )
    )
    return Record(offset, made.timestamp_ms, made.key, made.value, made.headers)


async def fold(site: Site, *records: Record) -> list[str]:
    """Apply a batch with the segmenter's role; return the codes of what was refused."""
    desk = await site.desk()
    batch = Batch("dead-letters", "dead-letter", 0, records, START, None)
    async with desk.connection.transaction():
        applied = await DeadLetterLane().apply(desk.connection, batch)
    return [each.code for each in applied.refused]


async def test_a_letter_becomes_a_row_with_all_it_said(site: Site) -> None:
    await fold(site, record(5, "ingest/1"))

    row = await site.owner.fetchrow("SELECT * FROM dead_letters")
    assert row is not None
    assert (row["dead_letter_id"], row["code"], row["field"]) == ("ingest/1", "junk_id", "userId")
    assert (row["origin"], row["source"], row["refused_at"]) == ("ingest", "web", START)
    assert (row["value"], row["key"]) == (b'{"userId":"null"}', None)
    assert (row["topic"], row["part"], row["kafka_offset"]) == ("dead-letter", 0, 5)


async def test_a_letter_that_comes_again_stays_one_row(site: Site) -> None:
    await fold(site, record(0, "ingest/1"), record(1, "ingest/1"))

    await fold(site, record(2, "ingest/1"))

    assert await site.owner.fetchval("SELECT array_agg(kafka_offset) FROM dead_letters") == [0]


async def test_a_record_without_headers_is_refused_and_its_neighbours_are_kept(
    site: Site,
) -> None:
    refused = await fold(site, record(0, "a"), Record(1, 0, None, b"what is this"), record(2, "b"))

    assert refused == ["not_a_dead_letter"]
    assert await site.count("dead_letters") == 2
