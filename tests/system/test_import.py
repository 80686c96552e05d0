"""History from files through the whole system: killed and resumed, every row counts exactly once."""

import asyncio
import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.system.local_run import until
from tests.system.reader import reading
from tests.system.stack import ROOT, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS = 400
ROWS = 9_000
SECOND = timedelta(seconds=1)
MAPPING = ("--map", "user_id=customer", "--map", "timestamp=date", "--set", "name=Bought")

Purchase = tuple[str, str, str]  # customer, date, total


def purchases() -> list[Purchase]:
    """Return what everybody bought until two months before START: all have churned since."""
    return [
        (
            f"customer-{number * 7 % USERS}",
            f"{START - timedelta(days=60 + number % 700):%Y-%m-%d}",
            f"{number % 90}.50",
        )
        for number in range(ROWS)
    ]


def counted(bought: Sequence[Purchase]) -> dict[str, int]:
    return dict(Counter(customer for customer, _, _ in bought))


class Import:
    """`ebbtide import` as a process of its own, against a stack."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.state = directory / "state"
        self._environ = {
            **{name: value for name, value in os.environ.items() if "EBBTIDE" not in name},
            "EBBTIDE_INGEST_URL": stack.ingest_url,
            "EBBTIDE_WRITE_KEY": stack.write_key,
            "EBBTIDE_API_URL": stack.api_url,
            "EBBTIDE_API_KEY": stack.api_key,
            "EBBTIDE_CLOCK_FILE": str(stack.clock_file),
        }

    def begin(self, path: Path, *words: str) -> subprocess.Popen[str]:
        return self._begin("import", str(path), *words, "--state-dir", str(self.state))

    async def run(self, path: Path, *words: str) -> tuple[int, str]:
        """Import a file; return the status and all that was said."""
        return await _ended(self.begin(path, *words))

    async def status(self) -> tuple[int, str]:
        return await _ended(self._begin("segmenter", "status", "--json"))

    def done(self) -> int:
        """Return how many rows are known to be done."""
        kept = [json.loads(path.read_text())["progress"] for path in self.state.glob("*.json")]
        return sum(each["accepted"] + each["rejected"] for each in kept)

    def _begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *words],
            cwd=ROOT,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


async def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = await asyncio.to_thread(process.communicate)
    return process.returncode, said


async def stopped_amid(
    importing: Import, process: subprocess.Popen[str], how: signal.Signals, *, behind: int
) -> tuple[int, str]:
    """Send a signal once so many rows are done, and wait for the end."""
    await until(lambda: importing.done() > behind or process.poll() is not None, 60, importing.done)
    process.send_signal(how)
    return await _ended(process)


async def event_counts(stack: Stack) -> dict[str, int]:
    stack.advance(SECOND)
    await stack.caught_up()
    async with reading(stack.api_url, stack.api_key) as reader:
        assert await reader.everything("alerts") == []
        return {user["user_id"]: user["event_count"] for user in await reader.everything("users")}


def write_csv(path: Path, bought: Sequence[Purchase]) -> dict[int, str]:
    """Write the purchases, and broken rows among them; return the lines of those with their codes."""
    broken: dict[int, str] = {
        1_000: "missing_field",
        2_000: "invalid_timestamp",
        3_000: "wrong_column_count",
        4_000: "not_utf8",
        5_000: "junk_id",
        6_000: "unclosed_quote",
        7_000: "timestamp_out_of_range",
        8_000: "timestamp_out_of_range",
        9_000: "negative_amount",
    }
    bad_rows = [
        b",2025-01-01,1",
        b"ada,the other day,1",
        b"ada,2025-01-01",
        b"ada,2025-01-01,\xff",
        b"null,2025-01-01,1",
        b'ada,2025-01-01,"1',
        b"ada,1969-12-31,1",
        b"ada,2026-01-02,1",
        b"ada,2025-01-01,-1",
    ]
    lines = [b"customer,date,total", *(",".join(each).encode() for each in bought)]
    for line, row in zip(broken, bad_rows, strict=True):
        lines.insert(line - 1, row)
    path.write_bytes(b"\r\n".join(lines) + b"\r\n")
    return broken


def rejects(path: Path) -> list[tuple[int, str]]:
    found: list[dict[str, Any]] = [json.loads(each) for each in path.read_text().splitlines()]
    return [(each["line"], each["code"]) for each in found]


async def test_an_import_that_is_killed_and_resumed_counts_every_row_once(
    stack: Stack, tmp_path: Path
) -> None:
    bought, path = purchases(), tmp_path / "orders.csv"
    broken = write_csv(path, bought)
    importing = Import(stack, tmp_path)
    words = (*MAPPING, "--map", "properties.total=total", "--batch", "100")

    slowly = importing.begin(path, *words, "--rate", "3000")
    status, said = await stopped_amid(importing, slowly, signal.SIGKILL, behind=1_500)
    assert status == -signal.SIGKILL, said
    slowly = importing.begin(path, *words, "--rate", "3000")
    status, said = await stopped_amid(importing, slowly, signal.SIGTERM, behind=4_500)
    assert (status, importing.done() < ROWS) == (143, True), said
    assert "the same command goes on from there" in said
    status, said = await importing.run(path, *words)

    assert status == 1, said
    assert f"{ROWS:,} events imported, {len(broken)} rows rejected" in said
    assert await event_counts(stack) == counted(bought)
    assert rejects(tmp_path / "orders.csv.rejected.ndjson") == list(broken.items())


async def test_the_same_in_other_formats_and_once_more_doubles_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    bought = purchases()
    compressed, again = tmp_path / "orders.ndjson.gz", tmp_path / "orders.csv"
    rows = [{"buyer": {"id": each[0]}, "date": each[1], "total": each[2]} for each in bought]
    compressed.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    with again.open("w", newline="") as file:
        csv.writer(file).writerows([("customer", "date", "total"), *bought])
    importing = Import(stack, tmp_path)
    words = ("--map", "user_id=buyer.id", "--map", "timestamp=date", "--set", "name=Bought")

    status, said = await importing.run(compressed, *words)
    assert status == 0, said
    assert await event_counts(stack) == counted(bought)

    status, said = await importing.run(compressed, *words, "--restart")
    assert (status, "9,000 events imported" in said) == (0, True), said
    status, said = await importing.run(compressed, *words)
    assert (status, "imported already" in said) == (0, True), said
    assert await event_counts(stack) == counted(bought)

    status, said = await importing.run(again, *MAPPING)
    assert status == 0, said
    twice = {user: 2 * count for user, count in counted(bought).items()}
    assert await event_counts(stack) == twice, "a line of another number is another event"


async def test_imported_aliases_merge_users_as_sent_ones_do(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text(
        "type,name,userId,previousId,timestamp\n"
        "track,Looked,visitor-1,,2025-03-01T10:00:00Z\n"
        "track,Bought,customer-1,,2025-03-02T10:00:00Z\n"
        "alias,,customer-1,visitor-1,2025-03-02T09:59:00Z\n"
    )

    status, said = await Import(stack, tmp_path).run(path)

    assert status == 0, said
    counts = await event_counts(stack)
    assert counts["customer-1"] == 3
    assert "visitor-1" not in counts


async def test_parquet_counts_every_row_once(stack: Stack, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: see docs/cli.md")
    parquet = pytest.importorskip("pyarrow.parquet")
    bought, path = purchases(), tmp_path / "orders.parquet"
    table = pa.table(
        {
            "customer": [each[0] for each in bought],
            "date": [datetime.fromisoformat(each[1]) for each in bought],
            "total": [float(each[2]) for each in bought],
        }
    )
    parquet.write_table(table, path, row_group_size=2_000)
    importing = Import(stack, tmp_path)
    words = (*MAPPING, "--map", "properties.total=total", "--batch", "100")

    slowly = importing.begin(path, *words, "--rate", "3000")
    status, said = await stopped_amid(importing, slowly, signal.SIGKILL, behind=2_500)
    assert status == -signal.SIGKILL, said
    status, said = await importing.run(path, *words)

    assert status == 0, said
    assert await event_counts(stack) == counted(bought)


async def test_the_segmenter_s_status_is_that_of_its_processes(
    stack: Stack, tmp_path: Path
) -> None:
    importing = Import(stack, tmp_path)
    await stack.caught_up()

    status, said = await importing.status()
    answer = json.loads(said)
    assert status == 0
    assert [each["partition"] for each in answer["partitions"]] == list(range(stack.partitions))
    (worker,) = answer["workers"]
    assert (worker["alive"], worker["partitions"]) == (True, stack.partitions)

    await stack.stop("segmenter")

    status, said = await importing.status()
    answer = json.loads(said)
    assert status == 1
    assert (answer["workers"], {each["owner"] for each in answer["partitions"]}) == ([], {None})
