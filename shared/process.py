"""Run a service's parts until a signal, or until they no longer work: started and stopped in order."""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.collector import tune_collector
from shared.configuration import CommonSettings, LogFormat, load
from shared.errors import InvalidConfiguration
from shared.http.probes import HealthCheck
from shared.observability.logging import configure_logging, log

_logger = log(__name__)

LOOK_S = 1.0
# In a row, before the process gives itself up: one look may fall into a moment of change.
LOOKS_NOT_LIVE = 3

S = TypeVar("S", bound=CommonSettings)


class Part(Protocol):
    """Something that runs beside others in one process."""

    async def start(self) -> None:
        """Begin, and return once begun. What goes on works in tasks of its own."""
        ...

    async def stop(self) -> None:
        """Finish what is in hand within a bounded time, and return."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What one process runs, in the order in which it starts; `live` says whether it still works."""

    in_order: Sequence[Part]
    live: HealthCheck


async def run(parts: Parts, *, stop_s: float = 25.0, look_s: float = LOOK_S) -> int:
    """Run the parts until SIGTERM or SIGINT; return the exit status.

    Each part has `stop_s` to stop. A part that can't start ends the process with status 1, and so
    do parts that are not live, for any supervisor starts anew what has exited; those begun are
    stopped first. A part that refuses a setting ends it with status 2: starting anew is no use.
    A second signal does not hurry it: supervisors have SIGKILL.
    """
    wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wanted.set)
    running: list[Part] = []
    status = 0
    try:
        for part in parts.in_order:
            running.append(part)
            await part.start()
        tune_collector()
        _logger.info("process_started", parts=len(running))
        status = 0 if await _lives_until(wanted, parts.live, look_s=look_s) else 1
    except InvalidConfiguration as error:
        _logger.critical("setting_refused", error=str(error))
        status = 2
    except Exception:  # the process supervisor's own boundary: say why, stop the rest, exit 1
        _logger.exception("process_failed")
        status = 1
    finally:
        for part in reversed(running):
            await _stop(part, stop_s)
    _logger.info("process_stopped", status=status)
    return status


async def _lives_until(wanted: asyncio.Event, live: HealthCheck, *, look_s: float) -> bool:
    """Wait for the event and return True; or False, once the parts are not live."""
    failures = 0
    while True:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(wanted.wait(), look_s)
        health = live()
        failures = 0 if health.ok else failures + 1
        if failures == LOOKS_NOT_LIVE:
            _logger.critical("process_not_live", checks=dict(health.checks))
            return False


async def _stop(part: Part, stop_s: float) -> None:
    try:
        await asyncio.wait_for(part.stop(), stop_s)
    except (
        Exception
    ):  # the process supervisor's boundary: one part's failure must not keep the next
        _logger.exception("part_did_not_stop", part=type(part).__name__)


def worker_name() -> str:
    """Return a name that no other process has had."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def serve(
    settings: type[S],
    *,
    service: str,
    parts: Callable[[S], Parts],
    description: str | None,
) -> int:
    """Be `python -m services.<service>`: read the settings, log, run until a signal.

    Returns the exit status: 2 when a setting is wrong, after one line that names it.
    """
    argparse.ArgumentParser(
        prog=f"python -m services.{service}", description=description
    ).parse_args()
    try:
        loaded = load(settings, service=service)
    except InvalidConfiguration as error:
        sys.stderr.write(f"{service}: {error}\n")
        return 2
    configure_logging(
        service=service, level=loaded.log_level, json=loaded.log_format is LogFormat.JSON
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run_built(lambda: parts(loaded)))


async def _run_built(build: Callable[[], Parts]) -> int:
    # Built inside the loop: parts may make events and futures of it.
    return await run(build())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, which serves HTTP faster, or None (asyncio's own) where it is not installed."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        return None
    return uvloop.new_event_loop
