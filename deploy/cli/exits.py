"""How a command ends when it can't do what it was asked for: one line, and a status to rely on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class Status(IntEnum):
    """The exit statuses of every command."""

    DONE = 0
    PARTLY = 1  # some rows were refused; something stands still
    USAGE = 2  # what was asked for makes no sense, or a file can't be used
    NO_SERVER = 3  # it can't be reached, does not know the key, or does not take what it must
    INTERRUPTED = 130
    TERMINATED = 143


class Failed(Exception):
    """The command can't go on; the message says what to do."""

    status = Status.USAGE


class NoServer(Failed):
    status = Status.NO_SERVER


@contextmanager
def explained() -> Iterator[None]:
    """End the command with its reason where it fails for one that is known."""
    try:
        yield
    except Failed as failed:
        sys.stderr.write(f"ebbtide: {failed}\n")
        raise typer.Exit(failed.status) from None
    except KeyboardInterrupt:
        raise typer.Exit(Status.INTERRUPTED) from None
