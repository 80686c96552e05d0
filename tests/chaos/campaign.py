"""One run: start the system, load it, break it, let it heal, and have it checked."""

import asyncio
import random
from collections.abc import Awaitable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.chaos import backlog, faults
from tests.chaos import report as r
from tests.chaos.auditor import Auditor
from tests.chaos.changes import Operator
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.people import LoadPlan
from tests.chaos.report import Report
from tests.chaos.verifier import Facts, verify
from tests.system import progress
from tests.system.stack import ROOT, Stack

BEGINNING = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ERA = timedelta(days=2, hours=12)
ERA_S = 1.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a run does. Without `seconds` each fault comes once, in the order given."""

    faults: Sequence[Fault] = faults.EVERY
    seconds: float | None = None
    seed: int = 1
    tree: Path = ROOT
    plan: LoadPlan = field(default_factory=LoadPlan)
    filter_is_on: bool = True
    has_backlog: bool = True
    has_operator: bool = True
    pause_s: float = 2.0
    partitions: int = 4
    heal_s: float = 120.0


async def run(campaign: Campaign, directory: Path) -> Report:
    """Run the campaign; what it finds stands in the report."""
    report = Report()
    stack = Stack(
        directory,
        tree=campaign.tree,
        segmenters=2,
        ledger=True,
        partitions=campaign.partitions,
    )
    stack.directory.mkdir(parents=True, exist_ok=True)
    stack.drive(BEGINNING, rate=1.0)
    async with stack:
        load = Load(
            stack.ingest_url,
            stack.write_key,
            clock=stack.clock,
            seed=campaign.seed,
            plan=campaign.plan,
        )
        operator = Operator(stack.api_url, stack.api_key, seed=campaign.seed)
        auditor = Auditor(stack.database.owner, report)
        working = [asyncio.create_task(load.run()), asyncio.create_task(auditor.run())]
        operating = asyncio.create_task(operator.run() if campaign.has_operator else _nothing())
        working.append(operating)
        try:
            await _attack(campaign, stack, load, operator, report)
            operator.stop()
            await _heal(stack, load, operating, report, within_s=campaign.heal_s)
        finally:
            load.stop()
            for task in working:
                task.cancel()
            await asyncio.wait(working)
        report.evidence["looks of the auditor"] = auditor.looks
        await verify(_facts(campaign, stack, load, operator), report)
    return report


async def _nothing() -> None:
    """Stand for an operator who changes nothing."""


async def _attack(
    campaign: Campaign, stack: Stack, load: Load, operator: Operator, report: Report
) -> None:
    """Let time run by in jumps while the faults happen."""
    load.resume()
    passing = asyncio.create_task(_let_time_pass(stack, load))
    try:
        await asyncio.sleep(campaign.pause_s)
        await _break_things(campaign, stack, operator, report)
    finally:
        passing.cancel()
        await asyncio.wait({passing})
    if error := None if passing.cancelled() else passing.exception():
        report.find(r.UNSEEN, f"the load never came to rest: {error!r}")
    if campaign.has_backlog:
        await load.quiet()
        await backlog.build_and_fold(stack, load)


async def _break_things(
    campaign: Campaign, stack: Stack, operator: Operator, report: Report
) -> None:
    draw = random.Random(campaign.seed)
    loop = asyncio.get_running_loop()
    began = loop.time()
    order = list(campaign.faults)
    while order:
        for fault in order:
            report.faults.append(f"{loop.time() - began:6.1f} s {fault.__name__}")
            # What was changed in the seconds that it takes back would be gone, as it has to be.
            takes_back = fault is faults.take_postgres_back
            async with operator.still if takes_back else nullcontext():
                await fault(stack, draw)
            await asyncio.sleep(campaign.pause_s)
        if campaign.seconds is None or loop.time() - began > campaign.seconds:
            return
        draw.shuffle(order)


async def _let_time_pass(stack: Stack, load: Load) -> None:
    """Jump days ahead, but only when nothing is under way: what is in flight must not turn old."""
    while True:
        await asyncio.sleep(ERA_S)
        await load.quiet()
        stack.advance(ERA)
        load.era += 1
        load.resume()


async def _heal(
    stack: Stack, load: Load, operating: Awaitable[None], report: Report, *, within_s: float
) -> None:
    """End the faults, stop the clock, and wait until all that was sent is seen."""
    for name in ("segmenter", "segmenter-2", "alerts", "api", "ingest"):
        if name not in stack.running():
            await stack.start_service(name, wait=False)
    with suppress(TimeoutError):
        await load.quiet(within_s=within_s)
    try:
        await asyncio.wait_for(operating, within_s)
    except TimeoutError:
        report.find(r.UNSEEN, "the operator's last change was never answered")
    stack.advance(timedelta(seconds=1))
    stack.drive(stack.now())
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await progress.jobs_done(stack.database.owner, within_s=within_s)
        await stack.caught_up(within_s=within_s)
    except TimeoutError as error:
        report.find(r.UNSEEN, error)
    report.evidence["seconds to heal"] = round(loop.time() - began, 1)


def _facts(campaign: Campaign, stack: Stack, load: Load, operator: Operator) -> Facts:
    return Facts(
        dsn=stack.database.owner,
        bootstrap=stack.bootstrap,
        ledger=load.ledger,
        operator=operator,
        # A watermark stays this far behind the clock, which stands still by now.
        until=stack.now() - timedelta(milliseconds=300),
        filter_is_on=campaign.filter_is_on,
        went_back=faults.take_postgres_back in campaign.faults,
    )
