"""Looks at the database while everything goes on: in one snapshot, a partition's offset must be
where its last batch ended, or effects and offset are not one transaction.
"""

import asyncio
from contextlib import suppress

import asyncpg

from tests.chaos import report as r
from tests.chaos.report import Report

EVERY_S = 0.02
_APART = """
    SELECT lane.grp, lane.topic, lane.part, lane.next_offset, last.to_offset
    FROM consumer_partition AS lane
    CROSS JOIN LATERAL (
        SELECT to_offset FROM batch_ledger
        WHERE grp = lane.grp AND topic = lane.topic AND part = lane.part
        ORDER BY id DESC LIMIT 1
    ) AS last
    WHERE lane.next_offset <> last.to_offset
"""


class Auditor:
    """Asks over and over, whatever happens to its connection."""

    def __init__(self, dsn: str, report: Report) -> None:
        self._dsn = dsn
        self._report = report
        self.looks = 0

    async def run(self) -> None:
        while True:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await self._watch()
            await asyncio.sleep(0.2)

    async def _watch(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=2, command_timeout=5)
        try:
            while True:
                for row in await connection.fetch(_APART):
                    self._report.find(r.OFFSET_APART, dict(row))
                self.looks += 1
                await asyncio.sleep(EVERY_S)
        finally:
            connection.terminate()
