"""Count users under their channels while new channels turn up."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeVar

from services.segmenter.domain.channels import Channels
from services.segmenter.domain.origin import Origin, least

Counted = TypeVar("Counted")
Admit = Callable[[Collection[str]], Awaitable[Channels]]


class ChannelDesk:
    """The channels as one transaction knows them. `admit` has new ones decided, outside of it, for good.

    What is counted is asked of `least` first. If `decide` then says that something was decided, it is asked again.
    """

    def __init__(self, channels: Channels, admit: Admit) -> None:
        self._channels = channels
        self._admit = admit
        self._met: set[str] = set()

    def least(self, origins: Iterable[Origin]) -> Origin:
        """Return what a user is counted under of whose first events these are the origins: the least of them."""
        channels = self._channels
        if channels.is_full:
            return least([channels.counted(each) for each in origins])
        named = list(origins)
        for each in named:
            if channels.is_undecided(each.channel):
                self._met.add(each.channel)
        return least(named)

    async def decided(self, count: Callable[[], Counted]) -> Counted:
        """Return what `count` does, once every channel is decided that it asks `least` for."""
        while True:
            counted = count()
            if not await self.decide():
                return counted

    async def decide(self) -> bool:
        """Have the channels decided that were met and are not yet; say whether there were any."""
        if not self._met:
            return False
        self._channels = await self._admit(self._met)
        self._met = set()
        return True
