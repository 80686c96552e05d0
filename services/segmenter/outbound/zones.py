"""The zone whose days are counted: nobody counts in another one, and it is changed once nobody does.

Whoever counts has an id, and asks for the zone after that. Whoever changes the zone waits, once that is
committed, for all that have one: what begins later finds the new zone, and what began before has ended.
"""

import asyncio

from services.segmenter.outbound import fences
from services.segmenter.usecases.ports import check_zone
from shared.database.connection import Connection, translated
from shared.database.product import stored_zone

# No transaction of a segmenter lasts longer than half of it: the server ends them, frozen ones too.
LONGEST_S = 10.0
LOOK_S = 0.05

_IS_COUNTED = "SELECT EXISTS (SELECT FROM public.funnels WHERE state = 'backfilling')"

_CHANGE = f"UPDATE public.product SET zone = $1 WHERE zone = $1 OR NOT ({_IS_COUNTED})"  # noqa: S608  constants only


async def stand_by(connection: Connection, zone: str) -> None:
    """Say that the open transaction counts in days of this zone. Raises ZoneMoved, StoreUnavailable."""
    with translated():
        await connection.execute("SELECT pg_current_xact_id()")
    check_zone(zone, stored=await stored_zone(connection, ""))


async def change(connection: Connection, zone: str) -> bool:
    """Have days counted in this zone, and return when nobody counts in another one.

    False: nothing was changed, for a funnel is counted from the log, half of it by now. Raises StoreUnavailable.
    """
    with translated():
        changed: str = await connection.execute(_CHANGE, zone)
        if changed == "UPDATE 0" and await connection.fetchval(_IS_COUNTED):
            return False
    fence = await fences.take(connection)
    for _ in range(round(LONGEST_S / LOOK_S)):
        if await fences.has_ended(connection, fence):
            break
        await asyncio.sleep(LOOK_S)
    return True
