"""The fixtures themselves: what every other integration test stands on."""

import asyncpg
import pytest

from tests.servers import Database, MakeTopic


@pytest.mark.postgres
@pytest.mark.parametrize("attempt", [1, 2])
async def test_each_test_has_a_migrated_database_of_its_own(
    database: Database, attempt: int
) -> None:
    connection = await asyncpg.connect(database.owner)
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0, attempt
    await connection.execute(
        "INSERT INTO outbox (grp, part, topic, created_at, number, packed)"
        " VALUES ('segmenter', 0, 't', now(), 0, '\\x90')"
    )
    await connection.close()


@pytest.mark.postgres
@pytest.mark.parametrize("role", ["segmenter", "alerts", "api"])
async def test_each_service_may_log_in_with_its_own_role(database: Database, role: str) -> None:
    connection = await asyncpg.connect(getattr(database, role))
    assert await connection.fetchval("SELECT current_user") == f"ebbtide_{role}"
    await connection.close()


@pytest.mark.kafka
async def test_each_topic_has_a_name_of_its_own(topic: MakeTopic) -> None:
    assert await topic(partitions=1) != await topic(partitions=2, max_message_bytes="1000")
