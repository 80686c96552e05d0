"""Keep aiokafka's own log lines to a rate that a log can bear while a broker is away."""

import logging
import time
from collections.abc import Callable

_LIBRARY = "aiokafka"


class RateFilter(logging.Filter):
    """Lets so many lines a second through, and tells with the next one how many it held back."""

    def __init__(
        self, *, per_s: float = 1.0, burst: int = 5, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._seen_at = clock()
        self._held_back = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._seen_at) * self._per_s)
        self._seen_at = now
        if self._tokens < 1:
            self._held_back += 1
            return False
        self._tokens -= 1
        if self._held_back:
            record.msg = f"{record.msg} ({self._held_back} lines held back)"
            self._held_back = 0
        return True


def quieten_aiokafka() -> None:
    """Put one filter on each of aiokafka's loggers that exists by now. May be called again.

    A logger's filter does not see its children's lines, so each needs its own.
    """
    for name in list(logging.root.manager.loggerDict):
        if name == _LIBRARY or name.startswith(f"{_LIBRARY}."):
            logger = logging.getLogger(name)
            if not any(isinstance(known, RateFilter) for known in logger.filters):
                logger.addFilter(RateFilter())
