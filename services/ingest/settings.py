"""What the environment says to ingest, as one frozen value."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.configuration import CommonSettings, Environment, KafkaSettings

SHORTEST_KEY = 16


class Settings(CommonSettings, KafkaSettings):
    """Fields are checked in this order, and each may look at those above it."""

    host: str = Field("127.0.0.1", description="address that product apps send to")
    port: int = Field(8100, ge=0, le=65535, description="0 takes a free port")
    write_keys: SecretStr = Field(description="source:key, comma-separated; a source may have two")

    @field_validator("write_keys")
    @classmethod
    def _well_formed(cls, keys: SecretStr, info: ValidationInfo) -> SecretStr:
        pairs = parse_keys(keys.get_secret_value())
        if not pairs:
            raise ValueError("names no key")
        production = info.data.get("environment") is Environment.PRODUCTION
        if production and min(len(key) for key in pairs) < SHORTEST_KEY:
            raise ValueError(f"holds a key shorter than {SHORTEST_KEY} characters")
        return keys


def parse_keys(text: str) -> dict[str, str]:
    """Return key → source. Raises ValueError, without quoting a key."""
    pairs: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (word.strip() for word in text.split(","))), 1):
        source, colon, key = entry.partition(":")
        if not (source and colon and key):
            raise ValueError(f"entry {number} is not source:key")
        if key in pairs:
            raise ValueError(f"entry {number} repeats a key")
        pairs[key] = source
    return pairs
