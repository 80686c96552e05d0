"""Run a service's parts until a signal: start them in order, stop them in the opposite order."""

import argparse
import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from shared.configuration import CommonSettings, LogFormat, load
from shared.errors import InvalidConfiguration
from shared.observability.logging import configure_logging, log

_logger = log(__name__)

S = TypeVar("S", bound=CommonSettings)


class Part(Protocol):
    """Something that runs beside others in one process."""

    async def start(self) -> None:
        """Begin, and return once begun. What goes on works in tasks of its own."""
        ...

    async def stop(self) -> None:
        """Finish what is in hand within a bounded time, and return."""
        ...


async def run(parts: Sequence[Part], *, stop_s: float = 25.0) -> int:
    """Run the parts until SIGTERM or SIGINT; return the exit status.

    Each part has `stop_s` to stop. A part that can't start ends the process with status 1; those
    begun before it are stopped first. A second signal does not hurry it: supervisors have SIGKILL.
    """
    wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wanted.set)
    running: list[Part] = []
    status = 0
    try:
        for part in parts:
            running.append(part)
            await part.start()
        tune_collector()
        _logger.info("process_started", parts=len(running))
        await wanted.wait()
    except Exception:  # the process supervisor's own boundary: say why, stop the rest, exit 1
        _logger.exception("process_failed")
        status = 1
    finally:
        for part in reversed(running):
            await _stop(part, stop_s)
    _logger.info("process_stopped", status=status)
    return status


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


def tune_collector() -> None:
    """Keep the collector away from what lives as long as the process.

    Source: docs/performance.md: +14 to +29 % on both hot paths.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)


def serve(
    settings: type[S],
    *,
    service: str,
    parts: Callable[[S], Sequence[Part]],
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


async def _run_built(build: Callable[[], Sequence[Part]]) -> int:
    # Built inside the loop: parts may make events and futures of it.
    return await run(build())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, which serves HTTP faster, or None (asyncio's own) where it is not installed."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        return None
    return uvloop.new_event_loop
