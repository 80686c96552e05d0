"""Shows the shop's years: wipes and starts a system, replays the purchases into it, and stops it.

The system is one of its own, under `.local/cdnow`, whose product time is driven along from 1997.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from types import FrameType

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy.demo.cdnow import Purchase, purchases
from deploy.demo.local_site import site_of
from deploy.demo.replay import DAY, drive, replay
from deploy.demo.site import NoSystem, Site
from deploy.demo.tiers import Tiers
from deploy.demo.truth import LIFECYCLES
from deploy.local import background
from deploy.local.errors import LocalError
from deploy.local.postgres import LocalPostgres
from deploy.local.state import State, state_directory

BEGINNING = datetime(1997, 1, 1, tzinfo=UTC)
Months = list[tuple[date, Tiers]]


def replay_shop(console: Console, *, sample: bool) -> None:
    """Replay, show the table of the months, and leave nothing running. Raises NoSystem, NoData."""
    signal.signal(signal.SIGTERM, _interrupt)  # stop the system in order then too
    try:
        _replay_there(console, purchases(sample=sample), State(State(state_directory()).cdnow))
    except LocalError as error:
        raise NoSystem(str(error)) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _replay_there(console: Console, orders: Sequence[Purchase], state: State) -> None:
    with _fresh_site(state, console) as site:
        customers = len({order.customer for order in orders})
        console.print(
            f"CDNOW: {len(orders):,} purchases of {customers:,} customers, "
            f"{orders[0].day} to {orders[-1].day}, day by day, through Segment's SDK.",
            soft_wrap=True,
        )
        console.print(_table(_replay(orders, site, console)))


@contextmanager
def _fresh_site(state: State, console: Console) -> Iterator[Site]:
    """Give a system without a past, which ends with this process at the latest."""
    if state.holder() is not None:
        background.stop(state)
    LocalPostgres(state.postgres, port=0, password="").remove()
    if state.directory.exists():
        state.remove()
    state.prepare()
    # Before anything runs: a watermark never goes back, so nothing may begin in the present.
    drive(state.clock_file, BEGINNING)
    console.print(f"Starting a system for this in {state.directory}", soft_wrap=True)
    with console.status("a first start downloads Kafka"):
        system = background.start_bound(state)
    try:
        yield site_of(state)
    finally:
        console.print("Stopping it")
        background.stop_bound(system)


def _replay(orders: Sequence[Purchase], site: Site, console: Console) -> Months:
    months: Months = []
    with Progress(console=console) as progress:
        task = progress.add_task("1997", total=len(orders))

        def day_done(day: date, number: int) -> None:
            progress.update(task, advance=number, description=f"{day:%Y-%m}")

        def month_end(midnight: datetime, tiers: Tiers) -> None:
            months.append(((midnight - DAY).date(), tiers))
            if not console.is_terminal:  # a bar moves on terminals only
                console.print(_line(*months[-1]), soft_wrap=True)

        replay(orders, site, day_done=day_done, month_end=month_end)
    return months


def _line(month: date, tiers: Tiers) -> str:
    counts = "  ".join(f"{each} {tiers.counts[each]:,}" for each in LIFECYCLES)
    return f"  {month:%Y-%m}  {counts}"


def _table(months: Months) -> Table:
    table = Table(title="Customers of CDNOW at each month's end")
    table.add_column("month")
    for heading in (*LIFECYCLES, "all"):
        table.add_column(heading, justify="right")
    for month, tiers in months:
        counts = [tiers.counts[each] for each in LIFECYCLES]
        table.add_row(f"{month:%Y-%m}", *(f"{number:,}" for number in (*counts, sum(counts))))
    return table
