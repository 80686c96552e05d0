"""Which channels are told apart: pure, and decided once."""

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.channels import Channels
from services.segmenter.domain.origin import OTHER, UNKNOWN, Origin, least
from services.segmenter.usecases.tell_channels import ChannelDesk

names = st.sampled_from(["ads", "mail", "search", "shop", OTHER, UNKNOWN])
origins = st.builds(Origin, names, st.sampled_from(["web", "ios"]))


@given(st.sets(names), origins)
def test_full_a_channel_is_itself_or_other_and_the_platform_stays(
    apart: Collection[str], origin: Origin
) -> None:
    counted = Channels(apart, is_full=True).counted(origin)

    expected = origin.channel if origin.channel in {*apart, OTHER, UNKNOWN} else OTHER
    assert counted == Origin(expected, origin.platform)
    assert Channels(apart, is_full=True).counted(counted) == counted


@given(st.sets(names), st.sets(names), st.lists(origins, min_size=1))
def test_what_was_decided_is_never_decided_otherwise(
    apart: set[str], more: set[str], met: list[Origin]
) -> None:
    """As more are let in and at last no other: what was itself stays so."""
    before, after = Channels(apart), Channels(apart | more, is_full=True)

    for origin in met:
        if not before.is_undecided(origin.channel):
            assert after.counted(origin) == before.counted(origin)


class Book:
    """Lets in the first `most`, for good."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.apart: list[str] = []
        self.is_full = False
        self.asked: list[Collection[str]] = []

    async def admit(self, channels: Collection[str]) -> Channels:
        self.asked.append(set(channels))
        for each in sorted(set(channels) - {*self.apart}):
            if self.is_full or len(self.apart) == self.most:
                self.is_full = True
            else:
                self.apart.append(each)
        return Channels(self.apart, is_full=self.is_full)


async def test_all_that_are_met_before_they_are_decided_are_decided_at_once() -> None:
    book = Book(2)
    desk = ChannelDesk(Channels(), book.admit)

    for channel in ("search", "ads", "mail", UNKNOWN):
        desk.least([Origin(channel)])

    assert await desk.decide()
    assert book.asked == [{"search", "ads", "mail"}]
    assert desk.least([Origin("search")]) == Origin(OTHER)
    assert not await desk.decide()


@given(st.sets(names), st.lists(origins, min_size=1))
def test_how_the_others_are_decided_does_not_matter_once_the_least_is_told_apart(
    apart: set[str], named: list[Origin]
) -> None:
    """As where users were counted under the least before anybody decided about channels."""
    channels = Channels({*apart, least(named).channel}, is_full=True)

    assert least([channels.counted(each) for each in named]) == least(named)


async def test_of_first_events_at_one_instant_the_least_of_what_is_counted_is_taken() -> None:
    """Not what the least of them is counted under: a merge has nothing else to compare."""
    desk = ChannelDesk(Channels(["ads", "search"], is_full=True), Book(2).admit)

    assert desk.least([Origin("mail"), Origin("search")]) == Origin("search")
    assert desk.least([Origin("zoo"), Origin("ads")]) == Origin("ads")


async def test_nothing_is_asked_about_channels_that_are_known() -> None:
    book = Book(1)
    desk = ChannelDesk(Channels(["ads"]), book.admit)

    assert desk.least([Origin("ads"), Origin()]) == Origin("ads")
    assert not await desk.decide()
    assert book.asked == []
