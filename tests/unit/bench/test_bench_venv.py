"""What a benchmark is set beside is installed by itself, from the project's own group."""

from tests.bench.segmenter import bench_venv
from tests.bench.segmenter.world import ROOT


def test_bytewax_is_in_the_bench_group_and_in_no_other() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()

    assert any(each.startswith("bytewax") for each in bench_venv.wanted(pyproject))
    assert pyproject.count('"bytewax==') == 1
    assert '{ include-group = "bench" }' not in pyproject
