"""Which server a command talks to, and that no key is ever shown."""

import json
from pathlib import Path

import pytest

from deploy.cli.exits import Failed
from deploy.cli.places import api_place, ingest_place
from deploy.local.state import RunInfo, State

RUN = RunInfo(
    ingest_url="http://127.0.0.1:8100",
    api_url="http://127.0.0.1:8200",
    segmenter_url="",
    alerts_url="",
    write_key="local-write-key",
    api_key="local-api-key",
    source="local",
    postgres_dsn="",
    kafka_bootstrap="",
    clock_file="",
    state_dir="",
)


def test_what_is_named_is_taken() -> None:
    place = ingest_place("https://ingest.example/base/", "k")

    assert (place.url, place.key) == ("https://ingest.example/base", "k")


def test_a_key_is_in_no_repr() -> None:
    assert "secret" not in repr(api_place("http://api", "secret"))


def test_where_nothing_is_named_it_is_the_run_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBBTIDE_LOCAL_DIR", str(tmp_path))
    state = State(tmp_path)
    state.prepare()
    with state.held():
        state.write_run(RUN)

        assert ingest_place(None, None).key == "local-write-key"
        assert api_place("", "").url == "http://127.0.0.1:8200"

    with pytest.raises(Failed, match="none runs on this machine"):
        ingest_place(None, None)


@pytest.mark.parametrize(
    ("url", "key", "reason"),
    [
        (None, "secret", "there is a key, and no address: name it by --url or EBBTIDE_API_URL"),
        ("http://api", None, "no key to it: give it by --api-key or EBBTIDE_API_KEY"),
        ("api:8200", "secret", "'api:8200' is no address such as"),
        ("http://", "secret", "is no address"),
        ("http://a:99999", "secret", "is no address"),
        ("ftp://api", "secret", "is no address"),
        ("http://api", "sécret", "holds characters that no key has"),
    ],
)
def test_half_of_it_or_nonsense_is_refused(url: str | None, key: str | None, reason: str) -> None:
    with pytest.raises(Failed) as refused:
        api_place(url, key)

    assert reason in str(refused.value)
    assert json.dumps(key)[1:-1] not in str(refused.value)
