"""Which channels are told apart: so many, the first that users came by; all others are counted as one."""

from collections.abc import Collection

from services.segmenter.domain.origin import OTHER, UNKNOWN, Origin

# Told apart in any case, and none of the number.
_ALWAYS = frozenset({UNKNOWN, OTHER})


class Channels:
    """The channels that are told apart. Once full, no other ever becomes one of them.

    So what a channel is counted as is decided when it is first met, for good, whoever meets it and in whatever
    order events come.
    """

    __slots__ = ("_apart", "is_full")

    def __init__(self, apart: Collection[str] = (), *, is_full: bool = False) -> None:
        self._apart = _ALWAYS.union(apart)
        self.is_full = is_full

    def is_undecided(self, channel: str) -> bool:
        """Say whether nobody has met the channel, and it may still be told apart."""
        return not self.is_full and channel not in self._apart

    def counted(self, origin: Origin) -> Origin:
        """Return what users of the origin are counted under. An undecided channel stays itself."""
        if origin.channel in self._apart or not self.is_full:
            return origin
        return Origin(OTHER, origin.platform)
