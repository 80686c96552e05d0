"""Who uses the simulated product: each person made from the seed and a number, always the same."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from types import MappingProxyType

from deploy.demo.habits import Habit

REFERRAL = "referral"


class Tongue(StrEnum):
    """What language a person writes feedback in."""

    CHINESE = "zh"
    ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Channel:
    """Where people come from, as Segment's `context.campaign` spells it."""

    name: str
    source: str
    medium: str


CHANNELS = (
    Channel("spring-sale", "wechat", "social"),
    Channel("brand-search", "baidu", "cpc"),
    Channel("creators", "xiaohongshu", "influencer"),
    Channel("brand-words", "google", "cpc"),
    Channel("weekly-letter", "newsletter", "email"),
    Channel(REFERRAL, "invite", REFERRAL),
    Channel("organic", "direct", "none"),
)
CHANNEL_WEIGHTS = (22, 18, 14, 14, 8, 14, 10)

# One in so many hundred people keeps this habit.
HABIT_SHARES = MappingProxyType(
    {
        Habit.DAILY: 9,
        Habit.WEEKLY: 28,
        Habit.ONE_TIME: 30,
        Habit.DRIFTING: 18,
        Habit.RETURNING: 15,
    }
)
_PLATFORMS = ("ios", "android", "web", "mini-program")


@dataclass(frozen=True, slots=True)
class Person:
    """One simulated user; `joined` is the share of the history that had passed when they came."""

    number: int
    user_id: str
    habit: Habit
    joined: float
    tongue: Tongue
    channel: Channel
    platform: str
    spends: bool
    invited_by: str | None


@dataclass(frozen=True, slots=True)
class Cast:
    """All the people of one run; `prefix` keeps them apart from those of other runs."""

    seed: int
    prefix: str

    def person(self, number: int) -> Person:
        """Return one person."""
        random = self.random(number, "person")
        habit = random.choices(list(HABIT_SHARES), weights=list(HABIT_SHARES.values()))[0]
        channel = random.choices(CHANNELS, weights=CHANNEL_WEIGHTS)[0]
        return Person(
            number=number,
            user_id=self.user_id(number),
            habit=habit,
            joined=random.random(),
            tongue=Tongue.CHINESE if random.random() < 0.6 else Tongue.ENGLISH,
            channel=channel,
            platform=random.choice(_PLATFORMS),
            spends=random.random() < 0.35,
            invited_by=self._inviter(number, channel, random),
        )

    def user_id(self, number: int) -> str:
        return f"{self.prefix}-{number:06d}"

    def random(self, number: int, purpose: str) -> Random:
        """Return a source of chance of a person's own: nobody's draws move anyone else's."""
        return Random(f"{self.seed}/{number}/{purpose}")

    def _inviter(self, number: int, channel: Channel, random: Random) -> str | None:
        if channel.name != REFERRAL or number == 0:
            return None
        return self.user_id(random.randrange(number))
