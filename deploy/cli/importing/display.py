"""Shows how an import goes: a bar on a terminal, a plain line now and then elsewhere."""

from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0
_WHOLE = 1_000


class Display(Protocol):
    """Told of what is done, as often as it changes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, part: float, rows: int, rejected: int) -> None:
        """`part` is how much of the file is read, from 0 to 1; rows are of this run."""
        ...

    def say(self, words: str) -> None: ...


def display_for(console: Console, name: str, *, now: Callable[[], float]) -> Display:
    return Bar(console, name, now=now) if console.is_terminal else Lines(console, name, now=now)


class Speed:
    """How many rows per second since the beginning, and how long the rest will take at that."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._first_part: float | None = None

    def passed_s(self) -> float:
        return self._now() - self._began

    def per_s(self, rows: int) -> float:
        return rows / max(self.passed_s(), 1e-3)

    def left_s(self, part: float) -> float | None:
        """Return None while there is nothing to tell it from."""
        if self._first_part is None:
            self._first_part = part
        gained = part - self._first_part
        return None if gained <= 0 else self.passed_s() * (1 - part) / gained


class Bar:
    """One line that changes."""

    def __init__(self, console: Console, name: str, *, now: Callable[[], float]) -> None:
        self._speed = Speed(now)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(name, total=_WHOLE, words="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, part: float, rows: int, rejected: int) -> None:
        words = _words(rows, rejected, self._speed)
        self._bar.update(self._task, completed=part * _WHOLE, words=words)

    def say(self, words: str) -> None:
        self._bar.console.print(words, markup=False, highlight=False, soft_wrap=True)


class Lines:
    """Lines that stay, for logs."""

    def __init__(self, console: Console, name: str, *, now: Callable[[], float]) -> None:
        self._console = console
        self._name = name
        self._speed = Speed(now)
        self._next_s = LINE_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Nothing is open."""

    def show(self, part: float, rows: int, rejected: int) -> None:
        left_s = self._speed.left_s(part)
        if self._speed.passed_s() < self._next_s:
            return
        self._next_s = self._speed.passed_s() + LINE_EVERY_S
        left = "" if left_s is None else f", {timedelta(seconds=round(left_s))} left"
        self.say(f"{self._name}: {part:.0%}, {_words(rows, rejected, self._speed)}{left}")

    def say(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)


def _words(rows: int, rejected: int, speed: Speed) -> str:
    broken = f", {rejected:,} rejected" if rejected else ""
    return f"{rows:,} rows, {speed.per_s(rows):,.0f}/s{broken}"
