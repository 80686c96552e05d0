"""Wherever an import is killed or stopped, every row counts once when it has come to its end."""

import asyncio
import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.cli.exits import Failed, NoServer
from deploy.cli.importing.importer import Limits, TooManyRejects
from deploy.cli.importing.sender import Refusal
from tests.unit.deploy.cli.kit import Desk, FakeIngest, write

HEADER = b"customer,date,properties.note\n"
LINES = HEADER + b"".join(b"ada,2024-01-01,\n" for _ in range(10))


@dataclass(frozen=True)
class Kind:
    """A kind of row: its bytes, what it counts for, and why it is rejected."""

    raw: bytes
    user: str | None
    code: str | None = None

    @property
    def lines(self) -> int:
        return self.raw.count(b"\n") + 1


KINDS = [
    Kind(b"ada,2024-01-01,", "ada"),
    Kind(b"bob,2024-01-02T10:00:00Z,fine", "bob"),
    Kind(b'cara,2024-01-03,"two\nlines, and ""more"""', "cara"),
    Kind("zoë,2024-01-03,😀".encode(), "zoë"),
    Kind(b"", None),
    Kind(b",2024-01-01,", None, "missing_field"),
    Kind(b"ada,never,", None, "invalid_timestamp"),
    Kind(b"ada", None, "wrong_column_count"),
    Kind(b"ada,2024-01-01,\xff", None, "not_utf8"),
    Kind(b"junk,2024-01-01,", None, "junk_id"),
    Kind(b'ada,2024-01-01,"x"y', None, "invalid_csv"),
]
files = st.lists(st.sampled_from(KINDS), max_size=24)
kills = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=4)
desks = st.builds(
    lambda in_flight, often, batch: (
        Limits(in_flight, None, save_every_s=0.0 if often else 1e9),
        batch,
    ),
    st.integers(1, 4),
    st.booleans(),
    st.integers(1, 5),
)


def contents(kinds: list[Kind], *, ends: bool) -> bytes:
    return HEADER + b"\n".join(each.raw for each in kinds) + (b"\n" if ends else b"")


def users(kinds: list[Kind]) -> Counter[str]:
    return Counter(each.user for each in kinds if each.user is not None)


def rejections(kinds: list[Kind]) -> list[tuple[int, str]]:
    found, line = [], 2
    for each in kinds:
        if each.code is not None:
            found.append((line, each.code))
        line += each.lines
    return found


@settings(max_examples=60, deadline=None)
@given(kinds=files, killed=kills, desk=desks, compressed=st.booleans(), ends=st.booleans())
def test_an_import_killed_anywhere_and_resumed_counts_every_row_once(
    kinds: list[Kind], killed: list[tuple[int, bool]], desk: tuple[Limits, int], *,
    compressed: bool, ends: bool,
) -> None:  # fmt: skip
    content = contents(kinds, ends=ends)
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory), gzip.compress(content) if compressed else content)
        work = Desk(path, limits=desk[0], batch=desk[1])
        ingest = FakeIngest()

        for at, after_taking in killed:
            ingest.kill_at, ingest.after_taking = len(ingest.asked) + at, after_taking
            asyncio.run(work.run_until_killed(ingest))
        ingest.kill_at = None
        done = asyncio.run(work.run(ingest))

        assert ingest.taken() == users(kinds)
        assert work.rejected() == rejections(kinds)
        assert (done.accepted, done.rejected) == (users(kinds).total(), len(rejections(kinds)))


@settings(max_examples=30, deadline=None)
@given(kinds=files, stops=st.lists(st.integers(0, 6), max_size=4), desk=desks)
def test_an_import_that_is_told_to_stop_sends_nothing_twice(
    kinds: list[Kind], stops: list[int], desk: tuple[Limits, int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        work = Desk(write(Path(directory), contents(kinds, ends=True)), desk[0], desk[1])
        ingest = FakeIngest()

        for after in stops:
            asyncio.run(stopped_after(work, ingest, requests=after))
        asyncio.run(work.run(ingest))

        assert ingest.taken() == users(kinds)
        assert set(ingest.times_sent().values()) <= {1}
        assert work.rejected() == rejections(kinds)


async def stopped_after(work: Desk, ingest: FakeIngest, *, requests: int) -> None:
    stop, until = asyncio.Event(), len(ingest.asked) + requests
    ingest.during = lambda: stop.set() if len(ingest.asked) >= until else None
    await work.run(ingest, stop)
    ingest.during = lambda: None


@settings(max_examples=30, deadline=None)
@given(kinds=files, ends=st.booleans())
def test_an_import_that_is_repeated_from_the_beginning_doubles_nothing(
    kinds: list[Kind], *, ends: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        work = Desk(write(Path(directory), contents(kinds, ends=ends)))
        ingest = FakeIngest()

        asyncio.run(work.run(ingest))
        for kept in work.state.glob("*.json"):
            kept.unlink()
        asyncio.run(work.run(ingest))

        assert ingest.taken() == users(kinds)
        assert work.rejected() == rejections(kinds)


async def test_what_follows_a_request_that_fails_is_not_taken_for_done(tmp_path: Path) -> None:
    work = Desk(write(tmp_path, LINES), Limits(4, None, save_every_s=0.0))

    class FailsSecond(FakeIngest):
        async def send(self, events: Sequence[bytes]) -> list[Refusal]:
            self.asked.append([json.loads(each) for each in events])
            if len(self.asked) == 2:
                raise NoServer("gone")
            return []

    with pytest.raises(NoServer, match="gone"):
        await work.run(FailsSecond())
    ingest = FakeIngest()
    await work.run(ingest)

    assert sum(map(len, ingest.asked)) == 8


async def test_no_more_requests_than_allowed_are_on_their_way(tmp_path: Path) -> None:
    work = Desk(write(tmp_path, LINES), Limits(2, None), batch=1)
    pair = asyncio.Barrier(2)
    inside, most = 0, 0

    class Slow(FakeIngest):
        """Answers two at a time, and never one alone."""

        async def send(self, events: Sequence[bytes]) -> list[Refusal]:
            nonlocal inside, most
            self.asked.append([json.loads(each) for each in events])
            inside += 1
            most = max(most, inside)
            async with asyncio.timeout(30):
                await pair.wait()
            inside -= 1
            return []

    await work.run(Slow())

    assert most == 2


async def test_too_many_rejects_stop_it_and_what_was_done_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + b"ada,2024-01-01,\n,x,\n,x,\n,x,\nbob,2024-01-01,\n")
    work = Desk(path, Limits(1, 1, save_every_s=1e9), batch=1)

    with pytest.raises(TooManyRejects):
        await work.run(FakeIngest())
    assert work.rejected() == [(3, "missing_field"), (4, "missing_field")]

    ingest = FakeIngest()
    done = await replace(work, limits=Limits(1, 3)).run(ingest)

    assert (done.accepted, done.rejected) == (2, 3)
    assert ingest.taken() == {"bob": 1}


async def test_a_file_that_has_grown_keeps_the_ids_of_its_first_rows(tmp_path: Path) -> None:
    work = Desk(write(tmp_path, HEADER + b"ada,2024-01-01,\nada,2024-01-01,\n"))
    ingest = FakeIngest()
    await work.run(ingest)

    write(tmp_path, HEADER + b"ada,2024-01-01,\nada,2024-01-01,\nbob,2024-01-02,\n")
    with pytest.raises(Failed, match=r"has changed since 2 rows.*--restart"):
        await work.run(ingest)
    for kept in work.state.glob("*.json"):
        kept.unlink()
    await work.run(ingest)

    assert ingest.taken() == {"ada": 2, "bob": 1}


async def test_a_compressed_file_that_ends_too_early_is_told_and_what_was_read_is_done(
    tmp_path: Path,
) -> None:
    whole = gzip.compress(
        HEADER + b"".join(b"u%d,2024-01-01,%d\n" % (n, n**9) for n in range(9_000))
    )
    work = Desk(write(tmp_path, whole[: len(whole) // 2]), batch=500)
    ingest = FakeIngest()

    with pytest.raises(Failed, match=r"can't be read beyond line \d+"):
        await work.run(ingest)

    assert ingest.taken().total() > 1_000
