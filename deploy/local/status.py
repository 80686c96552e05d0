"""`python -m deploy.local status`: what runs, where, and whether it is ready."""

from pathlib import Path

import psutil

from deploy.local import services
from deploy.local.clockwork import describe_clock
from deploy.local.dsn import where
from deploy.local.state import RunInfo, State

NOT_RUNNING = 3  # as a system's service scripts answer


def print_status(state: State) -> int:
    """Print it; return 0 when everything is ready, 1 when something is not, 3 when nothing runs."""
    holder, info = state.holder(), state.read_run()
    if holder is None:
        print(f"Ebbtide does not run from {state.directory}")
        return NOT_RUNNING
    if info is None:
        print(f"Ebbtide is starting, as process {holder}; {state.logs}")
        return 1
    rows = [_row(name, pid, info) for name, pid in info.pids.items()]
    for ready, line in rows:
        print(f"  {'ready' if ready else 'NOT READY':<10} {line}")
    print(f"  {describe_clock(Path(info.clock_file))}")
    print(f"  addresses and keys: {state.directory / 'run.json'}; logs: {state.logs}")
    return 0 if all(ready for ready, _ in rows) else 1


def _row(name: str, pid: int, info: RunInfo) -> tuple[bool, str]:
    urls = {service: getattr(info, f"{service}_url") for service in services.ORDER}
    places = {"postgres": where(info.postgres_dsn), "kafka": info.kafka_bootstrap} | urls
    ready = psutil.pid_exists(pid)
    if ready and name in urls:
        ready = services.answers(f"{urls[name]}/readyz")
    return ready, f"{name:<11} {places.get(name, ''):<30} process {pid}"
