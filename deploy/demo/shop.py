"""Replays the shop's purchases, each at its own date, through the official Segment SDK.

The system is one of its own, under `.local/cdnow`, whose product time is driven along from 1997.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy.demo.cdnow import NoData, Purchase, purchases
from deploy.demo.site import Site, local_site
from deploy.demo.tiers import TierReader, Tiers
from deploy.demo.truth import LIFECYCLES
from deploy.local import background
from deploy.local.postgres import LocalPostgres
from deploy.local.state import State, state_directory
from shared.clock import Drive, SystemClock, write_drive

BEGINNING = datetime(1997, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
Months = list[tuple[date, Tiers]]


def replay_shop(console: Console, *, sample: bool) -> Months:
    """Wipe and start the shop's system, replay, show the table, and stop it."""
    orders = purchases(sample=sample)
    directory = state_directory() / "cdnow"
    site = _fresh_site(directory)
    try:
        customers = len({order.customer for order in orders})
        console.print(
            f"CDNOW: {len(orders):,} purchases of {customers:,} customers, "
            f"{orders[0].day} to {orders[-1].day}, day by day, through Segment's SDK."
        )
        months = _replay(orders, site, console)
        console.print(_table(months))
    finally:
        background.stop(State(directory))
    return months


def _fresh_site(directory: Path) -> Site:
    state = State(directory)
    background.stop(state)
    LocalPostgres(state.postgres, port=0, password="").remove()
    if directory.exists():
        state.remove()
    state.prepare()
    # Before anything runs: a watermark never goes back, so nothing may begin in the present.
    _drive(state.clock_file, BEGINNING)
    return local_site(directory)


def _replay(orders: list[Purchase], site: Site, console: Console) -> Months:
    clock = site.clock_file
    if clock is None:
        raise NoData("the system's clock can't be driven")
    reader = TierReader(site.api_url, site.api_key)
    days = {day: list(found) for day, found in groupby(orders, key=lambda order: order.day)}
    last = orders[-1].day
    months: Months = []
    with Progress(console=console) as progress, _sdk(site) as client:
        task = progress.add_task("1997", total=len(orders))
        for day in _days(orders[0].day, last):
            midnight = datetime.combine(day + DAY, datetime.min.time(), UTC)
            _drive(clock, midnight)
            for order in days.get(day, []):
                _track(client, order)
            if day in days:
                client.flush()
            progress.update(task, advance=len(days.get(day, [])), description=f"{day:%Y-%m}")
            if (day + DAY).day == 1:
                # A second on: a watermark stays a little behind the clock.
                _drive(clock, midnight + SECOND)
                months.append((day, reader.read_as_of(midnight)))
    return months


def _track(client: Any, order: Purchase) -> None:
    client.track(
        f"customer-{order.customer}",
        "Order Completed",
        {"revenue": order.dollars, "discs": order.discs, "currency": "USD"},
        timestamp=order.at,
        message_id=f"cdnow-{order.customer}-{order.number}",
    )


def _days(first: date, last: date) -> Iterator[date]:
    """Yield every day up to the end of the last one's month."""
    day = first
    while day <= last or day.month == last.month:
        yield day
        day += DAY


class _sdk:  # noqa: N801  a context, used once
    """The official client; what it could not send is an error at the end."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._errors: list[Any] = []

    def __enter__(self) -> Any:
        try:
            # A development dependency: only this replay needs it.
            from segment.analytics.client import Client  # noqa: PLC0415
        except ImportError:
            raise NoData("the Segment SDK is not installed: use `make demo DATA=cdnow`") from None
        self._client = Client(
            self._site.write_key,
            host=self._site.ingest_url,
            on_error=lambda error, _batch: self._errors.append(error),
            max_queue_size=100_000,
            upload_interval=0.02,
        )
        return self._client

    def __exit__(self, *_how: object) -> None:
        self._client.join()
        if self._errors:
            raise NoData(f"the SDK could not send everything: {self._errors[0]}")


def _drive(clock_file: Path, instant: datetime) -> None:
    """Make it that instant for every process; time stands still until the next."""
    write_drive(clock_file, Drive(instant, SystemClock().now(), rate=0.0))


def _table(months: Months) -> Table:
    table = Table(title="Customers of CDNOW at each month's end")
    table.add_column("month")
    for heading in (*LIFECYCLES, "all"):
        table.add_column(heading, justify="right")
    for month, tiers in months:
        counts = [tiers.counts[each] for each in LIFECYCLES]
        table.add_row(f"{month:%Y-%m}", *(f"{number:,}" for number in (*counts, sum(counts))))
    return table
