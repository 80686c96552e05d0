"""What a campaign takes out of the code must be there to be taken out."""

from pathlib import Path

import pytest

from tests.chaos.mutations import ALL, Mutation

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("mutation", ALL, ids=lambda each: each.name)
def test_each_safeguard_stands_in_the_code_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.path).read_text().count(mutation.text) == 1
