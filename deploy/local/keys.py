"""Generated secrets of one state directory: made once, kept for as long as the data."""

import secrets
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Keys:
    """All are safe in addresses and in a shell without quoting."""

    postgres_password: str
    segmenter_password: str
    alerts_password: str
    api_password: str
    write_key: str
    api_key: str


def new_keys() -> Keys:
    return Keys(**{each.name: _key() for each in fields(Keys)})


def _key() -> str:
    """Return 192 random bits in hexadecimal: no leading dash that a command could misread."""
    return secrets.token_hex(24)
