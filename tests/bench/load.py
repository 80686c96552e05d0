"""Events as a Segment SDK sends them, about 400 bytes each."""

import random
from base64 import b64encode
from uuid import uuid4

from shared.clock import SystemClock

USERS = 50_000
_EVENT = (
    '{{"type":"track","messageId":"{id}","userId":"{user}","event":"{name}","timestamp":"{at}",'
    '"context":{{"library":{{"name":"bench","version":"1.0.0"}},"ip":"203.0.113.7",'
    '"userAgent":"Mozilla/5.0 (X11; Linux x86_64)"}},"properties":{{"title":"Clair de lune",'
    '"album":"Suite bergamasque","seconds":{seconds},"device":"speaker","shuffled":false}}}}'
)


class Events:
    """Makes batches of events with ids of their own, of users drawn at random."""

    def __init__(self, *, users: int = USERS) -> None:
        self._run = uuid4().hex[:12]
        self._made = 0
        self._users = users
        self._clock = SystemClock()

    def batch(self, size: int) -> bytes:
        at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = ",".join(self._one(at) for _ in range(size))
        return f'{{"batch":[{body}],"sentAt":"{at}"}}'.encode()

    def _one(self, at: str) -> str:
        self._made += 1
        return event(
            identity=f"{self._run}-{self._made:010d}-bench",
            user=f"user-{random.randrange(self._users):08d}",
            at=at,
            seconds=self._made % 300,
        )


def event(
    *, identity: str, user: str, at: str, seconds: int = 215, name: str = "Song Played"
) -> str:
    return _EVENT.format(id=identity, user=user, at=at, seconds=seconds, name=name)


def basic(key: str) -> str:
    """Return the credentials as SDKs send them: the write key as user name, no password."""
    return "Basic " + b64encode(f"{key}:".encode()).decode()
