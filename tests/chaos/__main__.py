"""`make chaos`: break everything for a long time, then every mutation, and say what was found."""

import argparse
import asyncio
import random
import sys

from tests.chaos.campaign import Campaign, run
from tests.chaos.mutations import ALL, Mutation, without_filter
from tests.scratch import scratch_directory


def main() -> int:
    arguments = _arguments()
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    wanted = [each for each in ALL if arguments.all_mutations or each.name == arguments.mutation]
    if arguments.mutation or arguments.all_mutations:
        # Every mutation is run, whatever the first ones came to.
        noticed = [_is_noticed(each, seed) for each in wanted]
        return 0 if all(noticed) else 1
    return 0 if _is_clean(arguments.seconds, seed) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long to go on breaking things"
    )
    parser.add_argument("--seed", type=int, help="repeat an earlier run's choices")
    parser.add_argument(
        "--mutation", choices=[each.name for each in ALL], help="run with this safeguard removed"
    )
    parser.add_argument(
        "--all-mutations", action="store_true", help="run once for each safeguard removed"
    )
    return parser.parse_args()


def _is_clean(seconds: float, seed: int) -> bool:
    """Run with the duplicate filter, then shortly without it and without repeated ids."""
    with scratch_directory() as directory:
        report = asyncio.run(run(Campaign(seconds=seconds, seed=seed), directory / "stack"))
        print(f"everything, again and again\n{report.text()}", flush=True)
    with scratch_directory() as directory:
        campaign = without_filter(directory / "tree", seed=seed)
        bare = asyncio.run(run(campaign, directory / "stack"))
        print(f"without the duplicate filter, no id repeated\n{bare.text()}", flush=True)
    return report.clean and bare.clean


def _is_noticed(mutation: Mutation, seed: int) -> bool:
    with scratch_directory() as directory:
        campaign = mutation.campaign(directory / "tree", seed=seed)
        report = asyncio.run(run(campaign, directory / "stack"))
    noticed = mutation.noticed_by(report)
    verdict = "noticed" if noticed else "NOT NOTICED"
    print(f"without {mutation.name}: {verdict}\n{report.text()}", flush=True)
    return noticed


if __name__ == "__main__":
    sys.exit(main())
