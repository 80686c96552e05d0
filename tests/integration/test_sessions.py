"""What every connection of the services asks of the server."""

import pytest
from sqlalchemy import text

from services.api.outbound.pools import writing_pool
from shared.database import session
from tests.servers import Database

pytestmark = pytest.mark.postgres


async def test_the_server_compiles_no_statement_of_a_lane(database: Database) -> None:
    connection = await session.connect(database.segmenter, worker="w")

    assert await connection.fetchval("SHOW jit") == "off"
    await session.close(connection)


async def test_the_server_compiles_no_statement_of_the_api(database: Database) -> None:
    engine = writing_pool(database.api)

    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW jit"))).scalar() == "off"
    await engine.dispose()
