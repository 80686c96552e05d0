"""The short form of `make chaos`: everything is broken once, and each safeguard is missed once."""

from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign, run
from tests.chaos.mutations import ALL, Mutation, without_filter

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
SEED = 20260301


async def test_nothing_is_lost_or_doubled_whatever_breaks(tmp_path: Path) -> None:
    report = await run(Campaign(seed=SEED, pause_s=1.5), tmp_path)

    assert report.clean, report.text()


async def test_the_fence_and_the_one_transaction_are_enough_without_the_filter(
    tmp_path: Path,
) -> None:
    report = await run(without_filter(tmp_path / "tree", seed=SEED), tmp_path / "stack")

    assert report.clean, report.text()


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
async def test_a_missing_safeguard_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    report = await run(mutation.campaign(tmp_path / "tree", seed=SEED), tmp_path / "stack")

    assert mutation.noticed_by(report), report.text()
