from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.domain.signature import sign
from services.alerts.domain.target import why_address_refused, why_url_refused

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111"]
INSIDE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",  # metadata of most clouds
    "168.63.129.16",  # metadata of Azure, a public address
    "100.100.100.200",  # metadata of Alibaba, in the shared range
    "192.0.0.192",  # metadata of Oracle
    "fd00:ec2::254",  # metadata of Amazon over IPv6
    "0.0.0.0",  # noqa: S104  refused, not bound
    "fec0::1",
    "64:ff9b:1::1",
    "255.255.255.255",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "ff02::1",
    "ff0e::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "2002:7f00:1::",  # 127.0.0.1 through 6to4
    "64:ff9b::a9fe:a9fe",  # 169.254.169.254 through NAT64
    "64:ff9b::7f00:1",
    "64:ff9b::a83f:8110",  # 168.63.129.16 through NAT64
    "not-an-address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    assert why_address_refused(address) is None


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_a_network_are_refused(address: str) -> None:
    assert why_address_refused(address) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_refused_in_every_ipv6_disguise_too(address: IPv4Address) -> None:
    if why_address_refused(str(address)) is not None:
        for disguise in ("::ffff:", "64:ff9b::"):
            assert why_address_refused(f"{disguise}{address}") is not None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "must begin with https://"),
        ("ftp://example.com/hook", "must begin with https://"),
        ("example.com/hook", "must begin with https://"),
        ("https:///hook", "names no host"),
        ("https://user:pass@example.com/", "must not carry a user or a password"),
        ("https://example.com/#part", "must not carry a fragment"),
        ("https://example.com:99999/", "Port out of range 0-65535"),
        ("https://example.com:0/", "names no host"),
        ("https://[::1/", "Invalid IPv6 URL"),
    ],
)
def test_an_address_that_can_not_be_a_target_is_refused_with_a_reason(url: str, why: str) -> None:
    assert why_url_refused(url, allow_local=False) == why


def test_https_is_needed_unless_local_targets_are_allowed() -> None:
    assert why_url_refused("https://example.com:8443/hook?x=1", allow_local=False) is None
    assert why_url_refused("http://127.0.0.1:9000/hook", allow_local=True) is None
    assert why_url_refused("ftp://127.0.0.1/", allow_local=True) is not None


def test_the_signature_covers_time_and_body_with_the_secret() -> None:
    # Made with: printf '1767225600.{"v":1}' | openssl dgst -sha256 -hmac key-of-the-webhook
    known = sign(b'{"v":1}', timestamp=1_767_225_600, secret=b"key-of-the-webhook")

    others = {
        sign(b'{"v":2}', timestamp=1_767_225_600, secret=b"key-of-the-webhook"),
        sign(b'{"v":1}', timestamp=1_767_225_601, secret=b"key-of-the-webhook"),
        sign(b'{"v":1}', timestamp=1_767_225_600, secret=b"another"),
    }
    assert known == "v1=610d9c24397be321cb1739bd01f65143621f2e151849ef403b8f7a0f9276d4c1"
    assert known not in others
