import json
import stat
from pathlib import Path

import pytest

from deploy.local.errors import AlreadyRunning, LocalError
from deploy.local.keys import new_keys
from deploy.local.state import RunInfo, State, state_directory, write_private

INFO = RunInfo(
    ingest_url="http://127.0.0.1:1",
    api_url="http://127.0.0.1:2",
    segmenter_url="http://127.0.0.1:3",
    alerts_url="http://127.0.0.1:4",
    write_key="w",
    api_key="a",
    source="local",
    postgres_dsn="postgresql://x",
    kafka_bootstrap="127.0.0.1:5",
    clock_file="/c",
    state_dir="/s",
    pids={"supervisor": 1},
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.prepare()
    return made


def test_secrets_are_made_once_and_read_ever_after(state: State) -> None:
    assert state.keys() == state.keys()


def test_secrets_are_long_and_differ_from_each_other() -> None:
    keys = new_keys()
    values = [getattr(keys, name) for name in keys.__slots__]
    assert len(set(values)) == len(values)
    assert all(len(value) >= 32 for value in values)


def test_secrets_lost_while_data_remain_are_not_replaced_in_silence(state: State) -> None:
    (state.postgres / "data").mkdir(parents=True)
    with pytest.raises(LocalError, match="make down"):
        state.keys()


def test_private_files_are_the_owners_alone(state: State) -> None:
    path = state.directory / "private.json"
    write_private(path, {"key": "value"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"key": "value"}


def test_what_runs_can_be_read_while_the_directory_is_held_and_not_after(state: State) -> None:
    with state.held():
        state.write_run(INFO)
        assert State(state.directory).read_run() == INFO
    assert state.read_run() is None
    assert not (state.directory / "run.json").exists()


def test_what_a_killed_run_left_is_not_taken_for_one_that_runs(state: State) -> None:
    state.write_run(INFO)
    assert state.read_run() is None


def test_a_directory_is_held_by_one_at_a_time(state: State) -> None:
    with state.held(), pytest.raises(AlreadyRunning), State(state.directory).held():
        raise AssertionError("held twice")


def test_the_environment_says_where_the_state_is(tmp_path: Path) -> None:
    assert state_directory({"EBBTIDE_LOCAL_DIR": str(tmp_path)}) == tmp_path
    assert state_directory({}).name == ".local"


def test_deleting_the_state_spares_what_is_not_its_own(state: State) -> None:
    state.keys()
    (state.directory / "bench").mkdir()
    state.remove()
    assert {path.name for path in state.directory.iterdir()} <= {"bench", "supervisor.lock"}


def test_with_the_data_goes_what_says_how_far_imports_into_them_got(state: State) -> None:
    state.imports.mkdir()
    (state.imports / "orders.json").write_text("{}")

    state.remove()

    assert not state.imports.exists()
