"""Fixtures for everyone. Servers start when the first test asks for one, once for the session."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import HealthCheck, settings

from tests import servers
from tests.servers import Database, MakeTopic

# These machines are slow and shared: how long an example takes says nothing about the code.
settings.register_profile("ebbtide", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ebbtide")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The superuser's address of a real Postgres."""
    with servers.postgres_server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def database_template(postgres_url: str) -> Iterator[str]:
    with servers.template_database(postgres_url) as name:
        yield name


@pytest_asyncio.fixture
async def database(postgres_url: str, database_template: str) -> AsyncIterator[Database]:
    """A migrated database of the test's own."""
    made = await servers.clone_database(postgres_url, database_template)
    try:
        yield made
    finally:
        await servers.drop_database(postgres_url, made.name)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a real broker."""
    with servers.kafka_broker() as bootstrap:
        yield bootstrap


@pytest_asyncio.fixture
async def topic(kafka_bootstrap: str) -> AsyncIterator[MakeTopic]:
    """A maker of topics with unique names: `name = await topic(partitions=3)`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    made: list[str] = []

    async def make(partitions: int = 3, **configs: str) -> str:
        """Each further argument is a setting of the topic, with `_` for `.`."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        assert all(code == 0 for _, code, *_ in answer.topic_errors), answer
        made.append(name)
        return name

    try:
        yield make
    finally:
        if made:
            await admin.delete_topics(made)
        await admin.close()
