"""Events in the log: every text is stored as it came, whatever it holds."""

import json
import random
from typing import Any

import msgspec
import pytest

from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope, EventFlag
from tests.integration.segmenter.kit import DAY, START, Site, event

pytestmark = pytest.mark.postgres

TEXTS = (
    *(
        "plain",
        "\\",
        "\\N",
        "\\.",
        "\\\\",
        "a\tb",
        "\t",
        "a\nb",
        "\r",
        "\b\f\v",
        '"',
        "'",
        "{}",
        "NULL",
    ),
    *("\x7f", "\x1f", "\u2028", "ü", "客户", "😀", "a\\tb", "ends\\"),
)
INDENTS = (None, 1, "\t", "\r\n")


def payload(draw: random.Random) -> msgspec.Raw:
    """What a client may send: any texts, and any space between them."""
    indent = draw.choice(INDENTS)
    text = json.dumps({draw.choice(TEXTS): [draw.choice(TEXTS), 1]}, indent=indent or None)
    return msgspec.Raw(text.encode())


def anything(number: int, draw: random.Random) -> EventEnvelope:
    more: dict[str, Any] = {
        "source": draw.choice(TEXTS),
        "event_id": f"{draw.choice(TEXTS)}{number}",
        "name": draw.choice((None, *TEXTS)),
        "anonymous_id": draw.choice((None, *TEXTS)),
        "payload": payload(draw),
        "active": draw.random() < 0.7,
        "historical": draw.random() < 0.3,
        "flags": tuple(draw.sample(list(EventFlag), draw.choice((0, 0, 1, 2)))),
    }
    return event(f"{draw.choice(TEXTS)}{number % 7}", START, **more)


@pytest.mark.parametrize("seed", range(4))
async def test_every_text_is_stored_as_it_came(site: Site, seed: int) -> None:
    draw = random.Random(seed)
    sent = [anything(number, draw) for number in range(600)]

    await site.fold(*sent, now=START + DAY)

    rows = await site.owner.fetch(
        "SELECT source, event_id, user_id, name, anonymous_id, active, historical, flags, payload"
        " FROM events ORDER BY kafka_offset"
    )
    assert [tuple(row) for row in rows] == [
        (
            each.source,
            each.event_id,
            each.user_id,
            each.name,
            each.anonymous_id,
            each.active,
            each.historical,
            list(each.flags),
            bytes(each.payload).decode(),
        )
        for each in sent
    ]


async def test_an_event_with_a_backslash_does_not_change_its_neighbours(site: Site) -> None:
    sent = [event("u", START, event_id=f"{number}") for number in range(300)]
    sent[150] = event("u", START, event_id="a\\N", name="\\N")

    await site.fold(*[encode(each) for each in sent], now=START + DAY)

    rows = await site.owner.fetch("SELECT event_id, name FROM events ORDER BY kafka_offset")
    assert [tuple(row) for row in rows] == [(each.event_id, each.name) for each in sent]
