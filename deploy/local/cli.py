"""`python -m deploy.local`: Ebbtide on one machine, without Docker.

State lies in `.local`, or where EBBTIDE_LOCAL_DIR says. An external Postgres or Kafka is used where
EBBTIDE_POSTGRES_DSN (the owner's) or EBBTIDE_KAFKA_BOOTSTRAP is set. Other EBBTIDE_ variables reach
the services.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence

from deploy.local import background, clockwork
from deploy.local.errors import AlreadyRunning, LocalError, explain_refusal
from deploy.local.postgres import LocalPostgres
from deploy.local.say import say
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
    except PermissionError as error:
        print(explain_refusal(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(state: State, asked: argparse.Namespace) -> int:
    if state.holder() is not None:
        return _say_what_runs(state)
    if asked.detach:
        return background.run_detached(state)
    try:
        parent = os.getppid() if asked.with_parent else None
        supervisor = Supervisor(
            state, verbose=asked.verbose, parent=parent, in_background=asked.in_background
        )
        return supervisor.run()
    except AlreadyRunning:  # another one was quicker, between the question and the lock
        return _say_what_runs(state)


def _say_what_runs(state: State) -> int:
    if state.read_run() is not None:
        say("Ebbtide is up already.")
    return print_status(state)


def _status(state: State, _asked: argparse.Namespace) -> int:
    return print_status(state)


def _stop(state: State, _asked: argparse.Namespace) -> int:
    return background.stop(state)


def _down(state: State, _asked: argparse.Namespace) -> int:
    background.stop(state)
    _delete_demo(State(state.cdnow))
    LocalPostgres(state.postgres, port=0, password="").remove()
    state.remove()
    say(f"deleted the data in {state.directory}")
    return 0


def _delete_demo(state: State) -> None:
    if state.directory.exists():
        if state.holder() is not None:
            background.stop(state)
        LocalPostgres(state.postgres, port=0, password="").remove()
        shutil.rmtree(state.directory)


def _clock(state: State, asked: argparse.Namespace) -> int:
    path = state.clock_file
    _refuse_contradictions(asked)
    state.prepare()
    if asked.set:
        instant, rate = clockwork.parse_instant(asked.set), clockwork.parse_rate(asked.rate or "1")
        clockwork.refuse_going_back(path, instant, has_data=state.has_data())
        clockwork.set_clock(path, instant, rate=rate)
    elif asked.advance:
        clockwork.advance_clock(path, clockwork.parse_duration(asked.advance))
    elif asked.real:
        clockwork.refuse_going_back(path, SystemClock().now(), has_data=state.has_data())
        clockwork.release_clock(path)
    say(clockwork.describe_clock(path))
    return 0


def _refuse_contradictions(asked: argparse.Namespace) -> None:
    if sum(map(bool, (asked.set, asked.advance, asked.real))) > 1:
        raise LocalError("SET, ADVANCE and REAL each give another time: name one of them")
    if asked.rate and not asked.set:
        raise LocalError("RATE says how fast time runs from SET on: name both")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="start everything and watch over it")
    run.add_argument("--detach", action="store_true", help="go on in the background")
    run.add_argument("--in-background", action="store_true", help=argparse.SUPPRESS)
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
    # All are texts, and `--name=value` takes any: what is wrong with one is said in a single line.
    clock.add_argument("--set", metavar="INSTANT", help="another time: 1997-01-01T00:00:00Z")
    clock.add_argument("--rate", help="with --set: how fast it runs (1); 0: not at all")
    clock.add_argument("--advance", metavar="LENGTH", help="jump ahead: 7d, 12h, 1d12h")
    clock.add_argument("--real", action="store_true", help="follow the machine's time again")
    clock.set_defaults(command=_clock)
