"""`python -m deploy.local`: Ebbtide on one machine, without Docker.

State lies in `.local`, or where EBBTIDE_LOCAL_DIR says. An external Postgres or Kafka is used where
EBBTIDE_POSTGRES_DSN (the owner's) or EBBTIDE_KAFKA_BOOTSTRAP is set. Other EBBTIDE_ variables reach
the services.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from deploy.local import background, clockwork
from deploy.local.errors import AlreadyRunning, LocalError
from deploy.local.postgres import LocalPostgres
from deploy.local.state import State, state_directory
from deploy.local.status import print_status
from deploy.local.supervisor import Supervisor
from shared.clock import SystemClock

Command = Callable[[State, argparse.Namespace], int]


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    asked = _parser().parse_args(words)
    command: Command = asked.command
    try:
        return command(State(state_directory()), asked)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(state: State, asked: argparse.Namespace) -> int:
    if state.holder() is not None:
        print("Ebbtide is up already.")
        return print_status(state)
    if asked.detach:
        return background.run_detached(state)
    try:
        parent = os.getppid() if asked.with_parent else None
        return Supervisor(state, verbose=asked.verbose, parent=parent).run()
    except AlreadyRunning as error:  # another one was quicker, between the question and the lock
        print(error)
        return 0


def _status(state: State, _asked: argparse.Namespace) -> int:
    return print_status(state)


def _stop(state: State, _asked: argparse.Namespace) -> int:
    return background.stop(state)


def _down(state: State, _asked: argparse.Namespace) -> int:
    background.stop(state)
    LocalPostgres(state.postgres, port=0, password="").remove()
    state.remove()
    print(f"deleted the data in {state.directory}")
    return 0


def _clock(state: State, asked: argparse.Namespace) -> int:
    path = state.clock_file
    state.prepare()
    if asked.action == "set":
        instant = clockwork.parse_instant(asked.instant)
        clockwork.refuse_going_back(path, instant, has_data=state.has_data())
        clockwork.set_clock(path, instant, rate=asked.rate)
    elif asked.action == "advance":
        clockwork.advance_clock(path, clockwork.parse_duration(asked.by))
    elif asked.action == "real":
        clockwork.refuse_going_back(path, SystemClock().now(), has_data=state.has_data())
        clockwork.release_clock(path)
    print(clockwork.describe_clock(path))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="start everything and watch over it")
    run.add_argument("--detach", action="store_true", help="go on in the background")
    run.add_argument("--verbose", action="store_true", help="show every log line")
    run.add_argument("--with-parent", action="store_true", help="stop when the caller ends")
    run.set_defaults(command=_run)
    for name, command, words in (
        ("status", _status, "say what runs, where, and whether it is ready"),
        ("stop", _stop, "drain and stop everything in order"),
        ("down", _down, "stop, and delete the data"),
    ):
        commands.add_parser(name, help=words).set_defaults(command=command)
    _add_clock(commands.add_parser("clock", help="show or drive product time"))
    return parser


def _add_clock(clock: argparse.ArgumentParser) -> None:
    actions = clock.add_subparsers(dest="action", metavar="ACTION")
    put = actions.add_parser("set", help="make it another time for every service")
    put.add_argument("instant", help="such as 1997-01-01T00:00:00Z")
    put.add_argument("--rate", type=float, default=1.0, help="how fast it runs; 0: not at all")
    actions.add_parser("advance", help="jump ahead").add_argument("by", help="such as 7d or 12h")
    actions.add_parser("real", help="follow the machine's time again")
    actions.add_parser("show", help="say what time it is (the default)")
    clock.set_defaults(command=_clock)
