"""Sends purchases at their own dates through the official Segment SDK, driving product time along."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from deploy.demo.cdnow import NoData, Purchase
from deploy.demo.sender import Refused
from deploy.demo.site import NoSystem, Site
from deploy.demo.tiers import TierReader, Tiers
from shared.clock import Drive, SystemClock, write_drive

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

DayDone = Callable[[date, int], None]
MonthEnd = Callable[[datetime, Tiers], None]


def replay(
    orders: Sequence[Purchase], site: Site, *, day_done: DayDone, month_end: MonthEnd
) -> None:
    """Send all orders, day by day, to the end of the last one's month; time stands still in between.

    `day_done` is told each day with the number of its orders. `month_end` is told the midnight that
    ends each month, with the counts once all before it is in them. Raises Refused, NoData,
    NoSystem, NotUpToDate.
    """
    if site.clock_file is None:
        raise NoSystem("the system's clock can't be driven")
    days = {day: list(found) for day, found in groupby(orders, key=lambda order: order.day)}
    with TierReader(site.api_url, site.api_key) as reader, _segment(site) as send:
        for day in _days(orders[0].day, orders[-1].day):
            midnight = datetime.combine(day + DAY, datetime.min.time(), UTC)
            drive(site.clock_file, midnight)
            send(days.get(day, []))
            day_done(day, len(days.get(day, [])))
            if midnight.day == 1:
                # A second on: a watermark stays a little behind the clock.
                drive(site.clock_file, midnight + SECOND)
                month_end(midnight, reader.read_as_of(midnight))


def user_id(order: Purchase) -> str:
    """Return who the customer is to the system."""
    return f"customer-{order.customer}"


def drive(clock_file: Path, instant: datetime) -> None:
    """Make it that instant for every process; time stands still until the next."""
    write_drive(clock_file, Drive(instant, SystemClock().now(), rate=0.0))


def _days(first: date, last: date) -> Iterator[date]:
    """Yield every day up to the end of the last one's month."""
    day = first
    while day <= last or (day.year, day.month) == (last.year, last.month):
        yield day
        day += DAY


@contextmanager
def _segment(site: Site) -> Iterator[Callable[[Sequence[Purchase]], None]]:
    """Give a function that sends orders with the official client, acknowledged when it returns."""
    try:
        # A development dependency: only this replay needs it.
        from segment.analytics.client import Client  # noqa: PLC0415
    except ImportError:
        raise NoData("the Segment SDK is not installed: use `make demo DATA=cdnow`") from None
    errors: list[Any] = []
    client = Client(
        site.write_key,
        host=site.ingest_url,
        on_error=lambda error, _batch: errors.append(error),
        max_queue_size=100_000,
        upload_interval=0.02,
    )

    def send(orders: Sequence[Purchase]) -> None:
        for order in orders:
            _track(client, order)
        if orders:
            client.flush()
        if errors:
            raise Refused(f"the SDK could not send everything: {errors[0]}")

    try:
        yield send
    finally:
        client.join()


def _track(client: Any, order: Purchase) -> None:
    client.track(
        user_id(order),
        "Order Completed",
        {"revenue": order.dollars, "discs": order.discs, "currency": "USD"},
        timestamp=order.at,
        message_id=f"cdnow-{order.customer}-{order.number}",
    )
