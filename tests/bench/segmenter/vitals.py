"""What processes cost: their CPU time, and the most memory that each ever held."""

from collections.abc import Iterable
from pathlib import Path

import psutil

BYTES_IN_KB = 1_024  # the kernel's; an MB here is 1,000,000 bytes


def cpu_s(pids: Iterable[int]) -> float:
    """Return user and system time of the processes and of what they started."""
    return sum(_cpu_s(psutil.Process(pid)) for pid in pids)


def peak_rss_mb(pid: int) -> float:
    """Return the kernel's own high-water mark, which no sampling can miss."""
    return peak_of(Path(f"/proc/{pid}/status").read_text())


def peak_of(status: str) -> float:
    """Return the peak that a /proc/…/status tells."""
    words = next(line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(words[1]) * BYTES_IN_KB / 1_000_000


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    own = float(times.user + times.system)
    return own + sum(_cpu_s(child) for child in process.children())
