"""Brings the system up, keeps it up, and takes it down in the opposite order."""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from deploy.local import children, services
from deploy.local.clockwork import describe_clock
from deploy.local.display import Display
from deploy.local.errors import DidNotStart, LocalError
from deploy.local.follow import LogFollower
from deploy.local.plan import Plan, make_plan
from deploy.local.programs import Program
from deploy.local.restarts import AT_MOST, Restarts
from deploy.local.startup import STEPS, Startup
from deploy.local.state import State
from deploy.local.welcome import welcome

_BEAT_S = 0.2


class StopRequested(BaseException):
    """A signal asked for the end. Not an Exception: nothing on the way may take it for a failure."""


class Supervisor:
    """One run. Everything happens on the main thread: children live as long as it does."""

    def __init__(
        self,
        state: State,
        *,
        verbose: bool = False,
        parent: int | None = None,
        in_background: bool = False,
    ) -> None:
        """`parent`: the process without which this one stops. `in_background`: no Ctrl-C reaches it."""
        self._state = state
        self._display = Display(total=STEPS)
        self._programs: dict[str, Program] = {}
        self._restarts: dict[str, Restarts] = {}
        self._awaited: set[str] = set()  # started again, and not of use yet
        self._follower = LogFollower() if verbose else None
        self._parent = parent
        self._in_background = in_background
        self._stopping = False

    def run(self) -> int:
        """Run until asked to stop; return the exit status. Raises AlreadyRunning."""
        self._state.prepare()
        with self._state.held():
            self._state.put_logs_aside()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._on_signal)
            status = 0
            try:
                self._bring_up()
                self._watch()
            except StopRequested:
                self._display.say("\nstopping: what is in hand is finished first")
            except LocalError as error:
                self._display.say(f"\n{error}\nLogs: {self._state.logs}")
                status = 1
            finally:
                self._stopping = True  # a second Ctrl-C must not leave half of it running
                self._take_down()
            return status

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._stopping:
            self._stopping = True
            raise StopRequested

    def _bring_up(self) -> None:
        begun = time.monotonic()
        plan = make_plan(self._state)
        if self._follower:
            for name in ("postgres", "kafka", *services.ORDER):
                self._follower.follow(name, self._state.log(name))
        self._display.say(f"Starting Ebbtide; its data are in {self._state.directory}")
        with self._display:
            for notice in plan.notices:
                self._display.say(notice)
            Startup(plan, self._display, self._programs).run()
        now = time.monotonic()
        self._restarts = {name: Restarts(started_at=now) for name in self._programs}
        self._plan: Plan = plan
        self._display.say(describe_clock(self._state.clock_file))
        self._display.say(welcome(plan, seconds=now - begun, in_background=self._in_background))
        self._publish()  # last: who waits for it finds all said

    def _publish(self) -> None:
        pids = {"supervisor": os.getpid()}
        for name, program in self._programs.items():
            if program.process is not None:
                pids[name] = program.process.pid
        self._state.write_run(self._plan.run_info(pids))

    def _watch(self) -> None:
        while self._parent is None or os.getppid() == self._parent:
            for name, program in self._programs.items():
                self._look_after(name, program)
            if not self._state.published():  # somebody has deleted the file
                self._publish()
            self._show_logs()
            time.sleep(_BEAT_S)
        self._display.say("what started this has ended")

    def _look_after(self, name: str, program: Program) -> None:
        process, restarts = program.process, self._restarts[name]
        if process is None or process.poll() is None:
            self._greet(name, program)
            return
        now = time.monotonic()
        if restarts.due_at is None:
            self._note_end(name, program, restarts.ended(at=now, status=process.returncode))
        elif now >= restarts.due_at:
            restarts.started(at=now)
            self._start_again(name, program)

    def _start_again(self, name: str, program: Program) -> None:
        try:
            program.start()
        except DidNotStart as error:
            self._display.say(str(error))
        else:
            self._publish()
            self._awaited.add(name)

    def _greet(self, name: str, program: Program) -> None:
        if name in self._awaited and program.ready():
            self._awaited.remove(name)
            self._display.say(f"{name} runs again")

    def _note_end(self, name: str, program: Program, delay: float | None) -> None:
        process, count = program.process, self._restarts[name].crashes
        status = f"{process.returncode if process else None}{children.taken_port(program.port)}"
        self._awaited.discard(name)
        if not self._follower:
            self._display.say(children.tail(program.log, lines=8))
        if delay is None:
            raise LocalError(f"{name} ended with status {status}: it is no use to start it again")
        self._display.say(
            f"{name} ended with status {status}; starting it again in {delay:.1f} s"
            f" ({count} of {AT_MOST})"
        )

    def _show_logs(self) -> None:
        if self._follower:
            for name, line in self._follower.new_lines():
                self._display.say_of(name, line)

    def _take_down(self) -> None:
        for name, program in reversed(self._programs.items()):
            if program.process is not None and program.process.poll() is None:
                begun = time.monotonic()
                _in_peace(program.stop, self._display.say)
                self._display.say(f"stopped {name:<10} {time.monotonic() - begun:6.1f} s")
        self._show_logs()


def _in_peace(stop: Callable[[], None], say: Callable[[str], None]) -> None:
    try:
        stop()
    except OSError as error:  # the next one is to be stopped too
        say(f"could not stop it in order: {error}")
