"""What a person sees: each step with its time, live on a terminal, as plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")


class Step:
    """A step that is under way; `note` is what its line says when it is done."""

    def __init__(self) -> None:
        self.note = ""


class Display:
    """Shows `total` steps, one after the other; use it as a context around them."""

    def __init__(self, *, total: int, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._total = total
        self._done = 0
        self._live = self.console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            Elapsed(),
            console=self.console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show a step while it runs and a line with its time after it."""
        self._progress.update(self._task, description=name)
        begun, step = time.monotonic(), Step()
        yield step
        self._done += 1
        self._progress.advance(self._task)
        self._line(name, time.monotonic() - begun, step.note)

    def say(self, text: str) -> None:
        """Print a line above the progress."""
        self._print(escape(text))

    def say_of(self, name: str, line: str) -> None:
        """Print a line that a program has logged."""
        colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]  # the same one each time
        self._print(f"[{colour}]{name:>9} │[/{colour}] {escape(line)}")

    def _line(self, name: str, seconds: float, note: str) -> None:
        mark = "[green]✓[/green]" if self._live else f"[{self._done}/{self._total}]"
        mark = mark if self._live else escape(mark)
        self._print(f"{mark} {name:<12} {seconds:6.1f} s  {escape(note)}")

    def _print(self, markup: str) -> None:
        with suppress(OSError):  # the terminal may be gone: that must not keep us from stopping
            self.console.print(markup)
            self.console.file.flush()
