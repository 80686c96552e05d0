"""Files of history, and an ingest that can be killed, refuse, and be asked what it took."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.cli.importing.chunks import in_chunks
from deploy.cli.importing.fields import plan_fields, split_pairs
from deploy.cli.importing.importer import EventSender, Importer, Limits
from deploy.cli.importing.instants import instant_reader
from deploy.cli.importing.judging import Judge
from deploy.cli.importing.open_file import digest_of, open_rows
from deploy.cli.importing.progress_file import Progress, ProgressFile, Work
from deploy.cli.importing.rejects import RejectsFile
from deploy.cli.importing.rows import Found, Rows
from deploy.cli.importing.sender import Pace, Refusal

LIMITS = Limits(in_flight=3, max_rejects=None, save_every_s=0.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write(directory: Path, content: bytes | str, name: str = "orders.csv") -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def opened(path: Path, *, file_format: str | None = None, delimiter: str | None = None) -> Rows:
    return open_rows(path, file_format=file_format, delimiter=delimiter)


def all_rows(path: Path) -> list[Found]:
    rows = opened(path)
    try:
        return list(rows.read(None))
    finally:
        rows.close()


def judge_of(
    rows: Rows,
    *maps: str,
    constants: Sequence[str] = (),
    zone: str = "UTC",
    form: str = "iso",
) -> Judge:
    plan = plan_fields(
        split_pairs(maps, "--map"),
        split_pairs(constants, "--set"),
        rows.columns,
        all_known=rows.all_known,
    )
    return Judge(plan, instant_reader(form, zone), NOW)


class Killed(Exception):
    """The process is gone."""


@dataclass
class FakeIngest:
    """Takes what it gets, once per id; refuses users whose name begins with `junk`."""

    asked: list[list[dict[str, Any]]] = field(default_factory=list)
    kill_at: int | None = None  # with the request of this number, counted from 0
    after_taking: bool = False
    at_kill: Callable[[], None] = lambda: None
    during: Callable[[], None] = lambda: None

    async def send(self, events: Sequence[bytes]) -> list[Refusal]:
        number = len(self.asked)
        if number == self.kill_at and not self.after_taking:
            self._die()
        self.asked.append([json.loads(each) for each in events])
        self.during()
        if number == self.kill_at:
            self._die()
        await asyncio.sleep(0)
        return [
            Refusal(index, "junk_id", "user_id is junk")
            for index, event in enumerate(self.asked[number])
            if event["user_id"].startswith("junk")
        ]

    def _die(self) -> None:
        self.at_kill()
        raise Killed

    def taken(self) -> Counter[str]:
        """Return how often each user's events count: an id counts once."""
        by_id = {
            each["id"]: each["user_id"]
            for events in self.asked
            for each in events
            if not each["user_id"].startswith("junk")
        }
        return Counter(by_id.values())

    def times_sent(self) -> Counter[str]:
        return Counter(each["id"] for events in self.asked for each in events)


@dataclass(frozen=True)
class Desk:
    """One import, as often as it is begun: its file, its progress and its rejects."""

    path: Path
    limits: Limits = LIMITS
    batch: int = 2
    maps: tuple[str, ...] = ("user_id=customer", "timestamp=date")

    @property
    def state(self) -> Path:
        return self.path.parent / "state"

    @property
    def rejects(self) -> Path:
        return self.path.with_name(self.path.name + ".rejected.ndjson")

    def work(self) -> Work:
        return Work(
            str(self.path), digest_of(self.path), "a mapping", "http://ingest", "key", "rejects"
        )

    async def run(self, ingest: EventSender, stop: asyncio.Event | None = None) -> Progress:
        with ExitStack() as stack:
            rows = stack.enter_context(closing(opened(self.path)))
            judge = judge_of(rows, *self.maps, constants=["name=Bought"])
            progress = stack.enter_context(closing(ProgressFile(self.state, self.work())))
            progress.hold()
            begun = progress.load()
            rejects = stack.enter_context(
                closing(RejectsFile(self.rejects, self.path, kept=begun.rejects_bytes))
            )
            importer = Importer(
                ingest,
                pace=Pace(None, now=lambda: 0.0),
                limits=self.limits,
                progress=progress,
                rejects=rejects,
                told=lambda _: None,
            )
            chunks = in_chunks(map(judge.of, rows.read(begun.place)), most=self.batch)
            return await importer.run(chunks, begun, stop=stop or asyncio.Event())

    async def run_until_killed(self, ingest: FakeIngest) -> None:
        """Leave on the disk what lay there at the moment of the kill, as a SIGKILL does."""
        kept = self.path.parent / "as-killed"
        ingest.at_kill = lambda: self._copy(self.path.parent, kept)
        try:
            await self.run(ingest)
        except Killed:
            self._copy(kept, self.path.parent)
            shutil.rmtree(kept)

    def rejected(self) -> list[tuple[int, str]]:
        if not self.rejects.exists():
            return []
        found = [json.loads(each) for each in self.rejects.read_text().splitlines()]
        return [(each["line"], each["code"]) for each in found]

    def _copy(self, there: Path, here: Path) -> None:
        """Copy state and rejects, and delete what is not there."""
        (here / "state").mkdir(parents=True, exist_ok=True)
        for old in [*(here / "state").glob("*.json"), here / self.rejects.name]:
            old.unlink(missing_ok=True)
        for each in (there / "state").glob("*.json"):
            shutil.copy(each, here / "state")
        if (there / self.rejects.name).exists():
            shutil.copy(there / self.rejects.name, here)
