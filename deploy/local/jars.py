"""Kafka's jars: downloaded once from Maven Central, and run only as the committed list knows them."""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import LocalError

JARS_LIST = Path(__file__).parents[1] / "kafka" / "jars.txt"
COORDINATES = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
_BESIDE_THE_STATE = Path(__file__).parents[2] / ".local" / "cache"
_FOLDER = "kafka_2.13-4.4.0"


class JarsDiffer(LocalError):
    """A jar is missing or is not the one that the committed list names."""


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where downloads are kept: for every state directory of this user, if it has a home."""
    if named := environ.get("EBBTIDE_LOCAL_CACHE"):
        return Path(named)
    if base := environ.get("XDG_CACHE_HOME"):
        return Path(base) / "ebbtide"
    home = Path(environ.get("HOME") or "/nonexistent")
    return home / ".cache" / "ebbtide" if os.access(home, os.W_OK) else _BESIDE_THE_STATE


def read_list(text: str) -> dict[str, str]:
    """Return name → sha256 of a list in the form that `sha256sum` writes."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {name: digest for digest, name in rows}


def differences(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Return a line for each jar that is missing, strange or changed; none when all is well."""
    present = {path.name: path for path in folder.glob("*.jar")}
    found = [f"{name} is not in the list" for name in sorted(present.keys() - wanted.keys())]
    for name, digest in sorted(wanted.items()):
        if name not in present:
            found.append(f"{name} is missing")
        elif _sha256(present[name]) != digest:
            found.append(f"{name} has another sha256 than the list")
    return found


def have_jars(cache: Path) -> bool:
    """Tell whether the jars are there, without reading them."""
    return (cache / _FOLDER).is_dir()


def fetch_jars(cache: Path) -> Path:
    """Return the folder of the checked jars, after downloading them where they are missing.

    Raises JarsDiffer when what is there, or what was served, is not what the list names.
    """
    wanted = read_list(JARS_LIST.read_text())
    folder = cache / _FOLDER
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / "kafka.lock"):
        if folder.is_dir() and differences(folder, wanted):
            shutil.rmtree(folder)  # half written, or damaged: get it again
        if not folder.is_dir():
            _download(cache, folder, wanted)
    return folder


def _download(cache: Path, folder: Path, wanted: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as scratch:
        draft = Path(scratch) / "jars"
        draft.mkdir()
        for jar in _resolve(cache, Path(scratch)):
            shutil.copyfile(jar, draft / jar.name)
        if found := differences(draft, wanted):
            raise JarsDiffer("Kafka's jars are not those of deploy/kafka/jars.txt: " + found[0])
        draft.rename(folder)


def _resolve(cache: Path, scratch: Path) -> Iterator[Path]:
    # Imported here: it is slow to load, and needed only for a download.
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    maven = MavenContext(repo_cache=cache / "maven", timeout=60)
    builder = EnvironmentBuilder(
        context=maven, cache_dir=scratch / "env", link_strategy=LinkStrategy.COPY
    )
    try:
        builder.from_endpoint(COORDINATES)
    except (
        Exception
    ) as error:  # jgo raises what its HTTP library raises; any of them ends the start
        raise LocalError(f"Kafka can't be downloaded from Maven Central: {error}") from error
    yield from (scratch / "env").rglob("*.jar")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    try:
        print(fetch_jars(cache_directory()))
    except LocalError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
