"""The segmenter's role may do its work and nothing else."""

import asyncpg
import pytest

from tests.integration.segmenter.kit import START, Site, event

pytestmark = pytest.mark.postgres

FORBIDDEN = [
    "INSERT INTO alerts SELECT * FROM alerts",
    "UPDATE alerts SET state = 'resolved'",
    "DELETE FROM alerts",
    "SELECT FROM alerts",
    "DELETE FROM notifications",
    "UPDATE notifications SET state = 'sent'",
    "INSERT INTO seen_transitions SELECT * FROM seen_transitions",
    "UPDATE policies SET silent_after = '1 day'",
    "INSERT INTO policies SELECT * FROM policies",
    "UPDATE policies SET activated_at = now()",
    "UPDATE jobs SET argument = '{}'",
    "UPDATE jobs SET requested_by = 'me'",
    "DELETE FROM jobs",
    "UPDATE events SET user_id = 'u'",
    "DELETE FROM events",
    "TRUNCATE events",
    "UPDATE transitions SET after = 'active'",
    "UPDATE transitions SET at = at",
    "DELETE FROM transitions",
    "UPDATE outbox SET packed = ''",
    "SELECT FROM outbox_messages",
    "DELETE FROM dead_letters",
    "UPDATE dead_letters SET value = ''",
    "DELETE FROM batch_ledger",
    "DELETE FROM consumer_partition",
    "UPDATE alembic_version SET version_num = ''",
    "CREATE TABLE mine (id int)",
    "CREATE TABLE events_mine PARTITION OF events DEFAULT",
    "DROP TABLE users",
    "ALTER TABLE users ADD COLUMN mine int",
    "CREATE ROLE mine",
    "SET ROLE ebbtide_alerts",
    "COPY users TO PROGRAM 'true'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_role_may_not(site: Site, statement: str) -> None:
    desk = await site.desk()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute(statement)


async def test_the_role_reads_and_writes_no_rows_of_other_services_groups(site: Site) -> None:
    await site.owner.execute(
        """
        INSERT INTO consumer_partition (grp, topic, part, owner) VALUES ('alerts', 't', 0, 'a');
        INSERT INTO consumer_worker VALUES ('alerts', 'a', now(), false);
        INSERT INTO outbox (grp, part, topic, created_at, number, packed)
        VALUES ('alerts', 0, 't', now(), 0, '\\x90');
        """
    )
    connection = (await site.desk()).connection

    for statement in (
        "UPDATE consumer_partition SET owner = 'me' WHERE grp = 'alerts'",
        "DELETE FROM consumer_worker WHERE grp = 'alerts'",
        "UPDATE outbox SET settled = '{0}' WHERE grp = 'alerts'",
        "DELETE FROM outbox WHERE grp = 'alerts'",
    ):
        assert (await connection.execute(statement)).endswith(" 0")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(
            "INSERT INTO outbox (grp, part, topic, created_at, number, packed)"
            " VALUES ('alerts', 0, 't', now(), 0, '\\x90')"
        )


async def test_partitions_that_the_role_has_made_belong_to_the_owner(site: Site) -> None:
    await site.fold(event("u", START))
    desk = await site.desk()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute("DROP TABLE events_2026_01_05")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute("DELETE FROM transitions_2026_01")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT make_partition('events', 'mine', now(), now(), NULL)",
        "INSERT INTO log_horizon VALUES (true, now(), now())",
        "DELETE FROM log_horizon",
        "DROP TABLE events_2026_01_05",
    ],
)
async def test_the_role_shortens_the_log_in_the_one_way_that_is_lent_to_it(
    site: Site, statement: str
) -> None:
    await site.fold(event("u", START))
    desk = await site.desk()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute(statement)


@pytest.mark.parametrize("role", ["api", "alerts"])
async def test_no_other_role_shortens_the_log(site: Site, role: str) -> None:
    connection = await asyncpg.connect(getattr(site.database, role))
    try:
        for call in (
            "raise_log_horizon('2026-01-01')",
            "drop_oldest_events_partition('0')",
            "ensure_events_partition('2026-01-01')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT {call}")
    finally:
        await connection.close()
