"""A real shop's year and a half, replayed as the demo does it: every customer is where the oracle says."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime

import pytest

from deploy.demo.cdnow import Purchase, purchases
from deploy.demo.replay import replay, user_id
from deploy.demo.shop import BEGINNING
from deploy.demo.site import Site
from deploy.demo.tiers import Tiers
from tests.system import oracle
from tests.system.reader import reading
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

START = BEGINNING
MONTHS = 18  # January 1997 to June 1998


def expected(orders: Sequence[Purchase], now: datetime) -> dict[str, str]:
    """Return where the oracle says that each customer stands, of those who had bought by then."""
    activity: dict[str, list[datetime]] = {}
    for order in orders:  # in the order of their days
        if order.at <= now:
            activity.setdefault(user_id(order), []).append(order.at)
    return {user: str(oracle.lifecycle(done, now)) for user, done in activity.items()}


async def read_all(stack: Stack) -> dict[str, str]:
    async with reading(stack.api_url, stack.api_key) as reader:
        return await reader.lifecycles()


async def test_every_customer_of_a_real_shop_is_where_the_oracle_says_at_each_months_end(
    stack: Stack,
) -> None:
    orders = purchases(sample=True)
    site = Site(stack.ingest_url, stack.api_url, stack.write_key, stack.api_key, stack.clock_file)
    loop = asyncio.get_running_loop()
    seen: list[tuple[datetime, dict[str, str], dict[str, int]]] = []
    days: list[tuple[date, int]] = []

    def month_end(midnight: datetime, tiers: Tiers) -> None:
        users = asyncio.run_coroutine_threadsafe(read_all(stack), loop).result()
        seen.append((midnight, users, tiers.counts))

    def day_done(day: date, number: int) -> None:
        days.append((day, number))

    await asyncio.to_thread(replay, orders, site, day_done=day_done, month_end=month_end)

    assert len(seen) == MONTHS
    assert sum(number for _, number in days) == len(orders)
    for midnight, users, counts in seen:
        wanted = expected(orders, midnight)
        assert users == wanted, midnight
        assert counts == dict.fromkeys(counts, 0) | Counter(wanted.values()), midnight
    assert len(seen[-1][1]) == len({order.customer for order in orders})
