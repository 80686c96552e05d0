"""`python -m deploy.demo`: a simulated product with a known truth, or a real shop from 1997."""

import argparse
import sys
from collections.abc import Sequence

import httpx
from rich.console import Console

from deploy.demo.cdnow import NoData
from deploy.demo.product import Product, Scenario, run_prefix
from deploy.demo.sender import NotNow, Refused, Sender
from deploy.demo.site import NoSystem, Site, named_site
from deploy.demo.tiers import NotUpToDate, TierReader
from shared.clock import SystemClock, clock_from

KEPT_RUNNING = "Ebbtide keeps running: `make status`, `make stop`."


def main(words: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    parser = _parser()
    asked = parser.parse_args(words)
    if asked.sample and not asked.data:
        parser.error("--sample is of a real shop: it needs --data cdnow")
    console = Console()
    try:
        if asked.data == "cdnow":
            _replay(asked, console)
        else:
            _play(asked, console)
    except KeyboardInterrupt:
        # A replay has stopped its own system on the way here.
        console.print("\nStopped." if asked.data else f"\nStopped. {KEPT_RUNNING}")
    except (NoData, NoSystem, Refused, NotNow, NotUpToDate, httpx.HTTPError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except PermissionError as error:
        from deploy.local.errors import explain_refusal  # noqa: PLC0415

        sys.stderr.write(f"demo: {explain_refusal(error)}\n")
        return 1
    return 0


def _replay(asked: argparse.Namespace, console: Console) -> None:
    # Here and below: the image of the demo holds no local run, and needs none.
    from deploy.demo.shop import replay_shop  # noqa: PLC0415

    replay_shop(console, sample=asked.sample)


def _find_site() -> Site:
    if named := named_site():
        return named
    from deploy.demo.local_site import local_site  # noqa: PLC0415
    from deploy.local.state import state_directory  # noqa: PLC0415

    return local_site(state_directory())


def _play(asked: argparse.Namespace, console: Console) -> None:
    site = _find_site()
    clock = clock_from(site.clock_file)
    scenario = Scenario(
        people=asked.users,
        months=asked.months,
        events_per_s=asked.rate,
        seconds=0 if asked.no_live else asked.seconds,
        seed=asked.seed,
        # By the machine's clock: product time may stand still, or be set back for a fresh start.
        prefix=run_prefix(SystemClock().now()),
    )
    console.print(
        f"A product with {scenario.people:,} people sends {scenario.months} months of history "
        f"to {site.ingest_url}.",
        soft_wrap=True,
    )
    with (
        Sender(site.ingest_url, site.write_key) as sender,
        TierReader(site.api_url, site.api_key) as reader,
    ):
        Product(scenario, sender=sender, reader=reader, clock=clock, console=console).play()
    console.print(KEPT_RUNNING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--users", type=_positive, default=3_000, help="people (3000)")
    parser.add_argument("--months", type=_positive, default=6, help="months of history (6)")
    parser.add_argument("--rate", type=_rate, default=20.0, help="live events per second (20)")
    parser.add_argument("--seconds", type=float, help="length of the live traffic (until Ctrl-C)")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same people (7)")
    parser.add_argument("--no-live", action="store_true", help="history only")
    parser.add_argument(
        "--data", choices=["cdnow"], help="replay a real shop's purchases from 1997 instead"
    )
    parser.add_argument(
        "--sample", action="store_true", help="with --data cdnow: a tenth of the customers"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _rate(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number
