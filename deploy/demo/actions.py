"""What a visit consists of: the events that the product's own code would send to `/v1/batch`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from deploy.demo import texts
from deploy.demo.people import Person

Event = dict[str, Any]

_GOODS = (
    ("green-tea", 4900),
    ("teapot", 18900),
    ("porcelain-cup", 6900),
    ("gift-box", 29900),
    ("honey", 3900),
)
_PAGES = ("Home", "Catalogue", "Product", "Basket", "Account")


@dataclass(slots=True)
class Visitor:
    """A person with the count of what they have sent, of which the events' ids are made."""

    person: Person
    random: Random
    sent: int = 0

    def visit(self, at: datetime) -> Iterator[Event]:
        """Yield what one visit sends, in order, all within a minute or so before `at`."""
        acts = [self._identify()] if self.sent == 0 else []
        acts.append({"type": "page", "name": self.random.choice(_PAGES)})
        acts.extend(self._deeds())
        for number, act in enumerate(acts):
            yield self._event(act, at - timedelta(seconds=len(acts) - 1 - number))

    def _deeds(self) -> Iterator[Event]:
        """Yield the rarer things: purchases, invites, shares, feedback."""
        chance = self.random.random()
        if self.person.spends and chance < 0.25:
            yield self._purchase()
        elif 0.25 <= chance < 0.28:
            yield _track("Invite Sent", via=self.person.platform)
        elif 0.28 <= chance < 0.33:
            yield _track("Content Shared", to=self.random.choice(("moments", "weibo", "x")))
        elif 0.33 <= chance < 0.36:
            yield self._feedback()

    def _event(self, act: Event, at: datetime) -> Event:
        self.sent += 1
        channel = self.person.channel
        return {
            **act,
            "messageId": f"{self.person.user_id}-{self.sent}",
            "userId": self.person.user_id,
            "timestamp": at.isoformat(timespec="milliseconds"),
            "context": {
                "campaign": {
                    "name": channel.name,
                    "source": channel.source,
                    "medium": channel.medium,
                },
                "device": {"type": self.person.platform},
                "locale": "zh-CN" if self.person.tongue == "zh" else "en-GB",
            },
        }

    def _identify(self) -> Event:
        traits = {"plan": "member" if self.person.spends else "free"}
        if self.person.invited_by:
            traits["invitedBy"] = self.person.invited_by
        return {"type": "identify", "traits": traits}

    def _purchase(self) -> Event:
        name, price = self.random.choice(_GOODS)
        quantity = self.random.randint(1, 3)
        return _track(
            "Order Completed",
            products=[{"sku": name, "quantity": quantity, "price": price / 100}],
            revenue=price * quantity / 100,
            currency="CNY",
        )

    def _feedback(self) -> Event:
        remark = texts.remark(self.person.tongue, self.random)
        return {
            "type": "feedback",
            "text": remark.text,
            "rating": remark.rating,
            "channel": self.random.choice(texts.CHANNELS),
        }


def _track(name: str, **properties: object) -> Event:
    return {"type": "track", "event": name, "properties": properties}
