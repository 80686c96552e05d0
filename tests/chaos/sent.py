"""One event as the load sends it, and what it says of two ids."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it was sent. A visitor has nothing but an anonymous id.

    `claimed`: what an `identify` or an `alias` says is its user's id, too.
    """

    event_id: str
    user_id: str
    timestamp: datetime
    filler: str = ""
    name: str = "used"
    type: str = "track"
    claimed: str | None = None

    @property
    def is_visitor(self) -> bool:
        return self.user_id.startswith("v")

    def wire(self) -> dict[str, object]:
        """Return the event as ingest takes it."""
        return {
            "id": self.event_id,
            "type": self.type,
            "name": self.name,
            "timestamp": self.timestamp.isoformat(),
            "properties": {"filler": self.filler} if self.filler else {},
        } | self._ids()

    def _ids(self) -> dict[str, object]:
        if self.type == "alias":
            return {"user_id": self.user_id, "previous_id": self.claimed}
        if self.type == "identify":
            return {"user_id": self.user_id, "anonymous_id": self.claimed}
        return {"anonymous_id" if self.is_visitor else "user_id": self.user_id}
