"""The simulated product at work: months of history, then live traffic, then what became of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from random import Random

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.demo.actions import Event
from deploy.demo.history import History
from deploy.demo.live import Crowd
from deploy.demo.people import Cast
from deploy.demo.sender import BATCH, Sender
from deploy.demo.tiers import TierReader, Tiers
from deploy.demo.truth import LIFECYCLES, Truth
from shared.clock import Clock

REPORT_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of everything. `seconds` of live traffic: None goes on until interrupted."""

    people: int
    months: int
    events_per_s: float
    seconds: float | None
    seed: int
    prefix: str


class Product:
    """Plays a scenario against a system."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        sender: Sender,
        reader: TierReader,
        clock: Clock,
        console: Console,
    ) -> None:
        self._scenario = scenario
        self._sender = sender
        self._reader = reader
        self._clock = clock
        self._console = console
        self._cast = Cast(scenario.seed, scenario.prefix)
        self._truth = Truth()
        self._before: dict[str, int] = {}

    def play(self) -> None:
        """Send everything; raises KeyboardInterrupt through from the live part."""
        self._before = self._reader.read().counts
        self._send_history()
        self._report("after the history")
        if self._scenario.seconds != 0:
            self._go_live()
            self._report("at the end")

    def _send_history(self) -> None:
        history = History(
            self._cast, self._scenario.people, self._clock.now(), self._scenario.months
        )
        waiting: list[Event] = []
        with self._progress() as progress:
            task = progress.add_task("history of people", total=history.people)
            for number in range(history.people):
                waiting += history.events(number, self._truth)
                if len(waiting) >= BATCH:
                    self._sender.send(waiting)
                    waiting = []
                progress.advance(task)
            self._sender.send(waiting)
        with self._console.status("waiting until all of it is folded"):
            self._reader.read_as_of(self._clock.now())

    def _go_live(self) -> None:
        scenario = self._scenario
        how_long = "Ctrl-C ends it" if scenario.seconds is None else f"{scenario.seconds:g} s"
        self._console.print(f"Live traffic: {scenario.events_per_s:g} events/s; {how_long}.")
        # Chance of its own, so that a second run is not the first one again.
        crowd = Crowd(
            self._cast, scenario.people, self._truth, Random(self._clock.now().timestamp())
        )
        began = shown = time.monotonic()
        sent = 0
        while scenario.seconds is None or time.monotonic() - began < scenario.seconds:
            events = list(crowd.visit(self._clock.now()))
            self._sender.send(events)
            sent += len(events)
            time.sleep(max(0.0, began + sent / scenario.events_per_s - time.monotonic()))
            if time.monotonic() - shown >= REPORT_EVERY_S:
                shown = time.monotonic()
                self._console.print(self._line(self._reader.read(), sent), soft_wrap=True)

    def _line(self, tiers: Tiers, sent: int) -> str:
        counts = "  ".join(f"{each} {tiers.counts[each]:,}" for each in LIFECYCLES)
        return f"  {sent:>7,} events sent live   {counts}"

    def _report(self, when: str) -> None:
        """Show what Ebbtide says beside what is true."""
        now = self._clock.now()
        said = self._reader.read_as_of(now).counts
        true = self._truth.counts(now)
        table = Table(title=f"Lifecycles {when}")
        for heading in (
            "lifecycle",
            "Ebbtide says",
            "here before",
            "true of the demo",
            "difference",
        ):
            table.add_column(heading, justify="left" if heading == "lifecycle" else "right")
        for each in LIFECYCLES:
            before = self._before.get(each, 0)
            difference = said[each] - before - true[each]
            row = (said[each], before, true[each], difference)
            table.add_row(each, *(f"{number:,}" for number in row))
        self._console.print(table)

    @contextmanager
    def _progress(self) -> Iterator[Progress]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            yield progress


def run_prefix(now: datetime) -> str:
    """Return a prefix of user ids that no earlier run has had."""
    return f"demo-{now:%y%m%d%H%M%S}"
