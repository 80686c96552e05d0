"""`python -m deploy.local status`: what runs, where, and whether it is ready."""

from pathlib import Path
from urllib.parse import urlsplit

import psutil

from deploy.local import broker, children, postgres, services
from deploy.local.clockwork import describe_clock
from deploy.local.dsn import where
from deploy.local.say import say
from deploy.local.state import RunInfo, State

_SERVERS = {"kafka": broker.leads, "postgres": postgres.takes_connections}
NOT_RUNNING = 3  # as a system's service scripts answer


def print_status(state: State) -> int:
    """Print it; return 0 when everything is ready, 1 when something is not, 3 when nothing runs."""
    holder, info = state.holder(), state.read_run()
    if holder is None:
        say(f"Ebbtide does not run from {state.directory}")
        return NOT_RUNNING
    if info is None:
        say(f"Ebbtide is starting, as process {holder}; {state.logs}")
        return 1
    rows = [_row(name, pid, info) for name, pid in info.pids.items()]
    for trouble, line in rows:
        mark = "NOT READY" if trouble else "ready"
        say(f"  {mark:<10} {line}{f'  {trouble}' if trouble else ''}")
    say(f"  {describe_clock(Path(info.clock_file))}")
    say(f"  addresses and keys: {state.directory / 'run.json'}; logs: {state.logs}")
    return 1 if any(trouble for trouble, _ in rows) else 0


def _row(name: str, pid: int, info: RunInfo) -> tuple[str, str]:
    urls = {service: getattr(info, f"{service}_url") for service in services.ORDER}
    places = {"postgres": where(info.postgres_dsn), "kafka": info.kafka_bootstrap} | urls
    trouble = _trouble(name, pid, places.get(name, ""))
    return trouble, f"{name:<11} {places.get(name, ''):<30} process {pid}"


def _trouble(name: str, pid: int, place: str) -> str:
    """Return why a program is not ready; nothing where it is."""
    port = urlsplit(place if "//" in place else f"//{place}").port
    if not psutil.pid_exists(pid):
        return "it has ended"
    if port is None:  # the supervisor
        return ""
    if not children.serves(pid, port):
        return "it does not listen"
    return _silence(name, port) if name in _SERVERS else services.trouble(f"{place}/readyz")


def _silence(server: str, port: int) -> str:
    return "" if _SERVERS[server](port) else "it does not answer"
