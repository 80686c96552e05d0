"""An event's origin: what its context or properties name, folded; and nothing ever raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.origin import Origin, origin_of


def of(**event: Any) -> Origin:
    return origin_of(json.dumps(event).encode())


@pytest.mark.parametrize(
    ("event", "channel"),
    [
        ({"context": {"campaign": {"source": "WeChat"}}}, "wechat"),
        ({"context": {"campaign": {"source": "  Spring Mail "}}}, "spring mail"),
        ({"context": {"campaign": {"source": "搜索"}}}, "搜索"),
        ({"context": {"referrer": {"url": "https://www.Google.com/search?q=a"}}}, "google.com"),
        ({"context": {"page": {"referrer": "http://news.example:8080/"}}}, "news.example"),
        ({"properties": {"utm_source": "Newsletter"}}, "newsletter"),
        ({"properties": {"$referrer": "https://t.co/x", "$host": "shop.example"}}, "t.co"),
        ({}, "unknown"),
        ({"context": {"campaign": {"source": ""}}}, "unknown"),
        ({"context": {"campaign": {"source": 7}}}, "unknown"),
        ({"context": {"page": {"referrer": "$direct"}}}, "unknown"),
        ({"context": {"referrer": {"url": "http://[broken"}}}, "unknown"),
    ],
)
def test_the_channel_is_the_campaign_or_whoever_referred(
    event: dict[str, Any], channel: str
) -> None:
    assert of(**event).channel == channel


def test_a_campaign_counts_before_a_referrer_and_both_before_a_property() -> None:
    campaign = {"campaign": {"source": "ads"}}
    referrer = {"referrer": {"url": "https://google.com"}}
    properties = {"utm_source": "mail"}

    assert of(context={**campaign, **referrer}, properties=properties).channel == "ads"
    assert of(context=referrer, properties=properties).channel == "google.com"


def test_a_page_of_the_same_site_refers_nobody() -> None:
    page = {"url": "https://www.shop.example/b", "referrer": "https://shop.example/a"}

    assert of(context={"page": page}, properties={"utm_source": "mail"}).channel == "mail"


@pytest.mark.parametrize(
    ("event", "platform"),
    [
        ({"context": {"device": {"type": "ios"}}}, "ios"),
        ({"context": {"device": {"type": "iPhone"}}}, "ios"),
        ({"context": {"device": {"type": "Android"}}}, "android"),
        ({"context": {"device": {"type": "mobile"}, "os": {"name": "iPadOS"}}}, "ios"),
        ({"context": {"os": {"name": "Mac OS X"}}}, "desktop"),
        ({"context": {"os": {"name": "Windows"}}}, "desktop"),
        ({"context": {"os": {"name": "iOS"}, "library": {"name": "analytics.js"}}}, "web"),
        ({"context": {"library": {"name": "analytics-kotlin"}}}, "android"),
        ({"context": {"library": {"name": "analytics-python"}}}, "server"),
        ({"context": {"library": {"name": "@segment/analytics-node"}}}, "server"),
        ({"properties": {"$lib": "web", "$os": "Mac OS X", "$device_type": "Desktop"}}, "web"),
        ({"properties": {"$lib": "web", "$os": "iOS", "$device_type": "Mobile"}}, "web"),
        ({"properties": {"$lib": "posthog-ios"}}, "ios"),
        ({"properties": {"$lib": "posthog-python"}}, "server"),
        ({"context": {"device": {"type": "toaster"}}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_platform_is_folded_from_device_system_and_library(
    event: dict[str, Any], platform: str
) -> None:
    assert of(**event).platform == platform


def test_a_channel_is_at_most_64_characters_of_what_can_be_stored() -> None:
    long = of(context={"campaign": {"source": "A" * 1000}}).channel
    hostile = of(context={"campaign": {"source": "we\x00ch\x1bat\u202e"}}).channel

    assert long == "a" * 64
    assert hostile == "wechat"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b'{"context": "web"}',
        b'{"context": {"campaign": ["source"], "device": 3, "page": {"url": []}}}',
        b'{"context": {"campaign": {"source": "\\ud800"}}}',
        b'{"context": {"campaign": {"source": "\xff"}}}',
        b'{"properties": 1e999}',
        b'{"context": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"properties": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    ],
)
def test_a_hostile_payload_comes_from_an_unknown_place(payload: bytes) -> None:
    assert origin_of(payload) == Origin("unknown", "unknown")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["campaign", "source", "referrer", "url", "page", "device", "type", "os", "name", "library"]
)
contexts = st.dictionaries(names, st.dictionaries(names, anything, max_size=4) | anything)


@given(contexts, st.dictionaries(st.sampled_from(["utm_source", "$referrer", "$os"]), anything))
def test_whatever_an_event_says_its_origin_can_be_stored(
    context: dict[str, Any], properties: dict[str, Any]
) -> None:
    channel, platform = of(context=context, properties=properties)

    assert 0 < len(channel.encode()) <= 64 * 4
    assert channel.isprintable()
    assert len(channel) <= 64
    assert platform in {"web", "ios", "android", "desktop", "server", "unknown"}


@given(st.binary())
def test_no_bytes_raise(payload: bytes) -> None:
    assert isinstance(origin_of(payload), Origin)
