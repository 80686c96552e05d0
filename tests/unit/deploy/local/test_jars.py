import hashlib
from pathlib import Path

from deploy.local.jars import JARS_LIST, cache_directory, differences, read_list


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_committed_list_names_every_jar_with_its_sha256() -> None:
    listed = read_list(JARS_LIST.read_text())
    assert len(listed) == 45
    assert "kafka_2.13-4.4.0.jar" in listed
    assert all(len(value) == 64 and int(value, 16) for value in listed.values())


def test_jars_that_are_the_listed_ones_differ_in_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"a")
    assert differences(tmp_path, {"a.jar": digest(b"a")}) == []


def test_a_changed_a_missing_and_a_strange_jar_are_each_named(tmp_path: Path) -> None:
    (tmp_path / "changed.jar").write_bytes(b"other")
    (tmp_path / "strange.jar").write_bytes(b"s")
    assert differences(tmp_path, {"changed.jar": digest(b"c"), "missing.jar": digest(b"m")}) == [
        "strange.jar is not in the list",
        "changed.jar has another sha256 than the list",
        "missing.jar is missing",
    ]


def test_downloads_are_kept_where_the_environment_says(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert cache_directory({"EBBTIDE_LOCAL_CACHE": "/c", "XDG_CACHE_HOME": "/x"}) == Path("/c")
    assert cache_directory({"XDG_CACHE_HOME": "/x", **home}) == Path("/x/ebbtide")
    assert cache_directory(home) == tmp_path / ".cache" / "ebbtide"


def test_one_without_a_home_keeps_downloads_in_the_tree() -> None:
    assert cache_directory({"HOME": "/nonexistent"}).parts[-2:] == (".local", "cache")
