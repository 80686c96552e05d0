"""Environment → frozen settings: common fields, secrets from files, and a word on every mistake.

Names: `EBBTIDE_<FIELD>` for what every service shares, `EBBTIDE_<SERVICE>_<FIELD>` for its own.
Any variable may be given as `<NAME>_FILE` instead: the path of a file that holds the value.
"""

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from shared.errors import InvalidConfiguration

PREFIX = "EBBTIDE_"
SERVICES = ("INGEST", "SEGMENTER", "ALERTS", "API")
# Read by the programs under deploy/, never by a service.
TOOL_PREFIXES = ("LOCAL", "DEMO", "MIGRATE", "TEST", "BENCH", "CHAOS")


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class CommonSettings(BaseModel):
    """What every service needs. Each field's description is its line in `.env.example`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Environment = Field(
        Environment.DEVELOPMENT, description="production refuses a driven clock and weak keys"
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level logged"
    )
    log_format: LogFormat = Field(LogFormat.JSON, description="json, or console for people")
    clock_file: Path | None = Field(
        None, description="file that drives product time; unset: the machine's time"
    )
    product_zone: str = Field(
        "UTC", description="time zone that decides what a day is, such as Europe/Berlin"
    )

    @field_validator("product_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        check_zone(zone)
        return zone


class KafkaSettings(BaseModel):
    """For the services that meet Kafka."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka_bootstrap: str = Field(description="host:port, comma-separated")

    @field_validator("kafka_bootstrap")
    @classmethod
    def _well_formed_addresses(cls, addresses: str) -> str:
        for address in addresses.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or "/" in host or not port.isdecimal() or not 0 < int(port) <= HIGHEST_PORT:
                raise ValueError(f"{address.strip()!r} is not host:port with a port up to 65535")
        return addresses


class PostgresSettings(BaseModel):
    """For the services that meet Postgres, each with its own role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres_dsn: SecretStr = Field(description="postgresql://role:password@host:port/database")

    @field_validator("postgres_dsn")
    @classmethod
    def _well_formed_dsn(cls, dsn: SecretStr) -> SecretStr:
        check_dsn(dsn.get_secret_value())
        return dsn


SHORTEST_KEY = 16
HIGHEST_PORT = 65_535
_DSN_MISTAKE = (
    "is not postgresql://role:password@host:port/database with a port from 1 to 65535; in role and"
    " password write every character but letters, digits and -._~ as %XX"
)

S = TypeVar("S", bound=CommonSettings)


def load(
    settings: type[S],
    *,
    service: str,
    environ: Mapping[str, str] = os.environ,
    others: Iterable[str] = (),
) -> S:
    """Return the service's settings.

    Raises InvalidConfiguration, naming the variable, when one is missing, malformed, unknown,
    given twice, or not allowed in production. Variables that belong to another service or to a
    tool are let be, and so are those in `others` (without the prefix).
    """
    values = {
        field: value
        for field in settings.model_fields
        if (value := _given(variable_name(field, service=service), environ)) is not None
    }
    _refuse_unknown(settings, service=service, environ=environ, others=others)
    try:
        loaded = settings.model_validate(values)
    except ValidationError as error:
        raise InvalidConfiguration(_explain(error, service=service)) from None
    if loaded.environment is Environment.PRODUCTION and loaded.clock_file is not None:
        name = variable_name("clock_file", service=service)
        raise InvalidConfiguration(f"{name}: product time can't be driven in production")
    return loaded


def variable_name(field: str, *, service: str) -> str:
    """Return the environment variable of a field: shared ones carry no service's name."""
    return (
        PREFIX + field.upper() if is_shared(field) else f"{PREFIX}{service.upper()}_{field.upper()}"
    )


def is_shared(field: str) -> bool:
    return any(
        field in common.model_fields for common in (CommonSettings, KafkaSettings, PostgresSettings)
    )


def _given(name: str, environ: Mapping[str, str]) -> str | None:
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value is not None and path is not None:
        raise InvalidConfiguration(f"{name} and {name}_FILE are both set")
    if path is None:
        return value or None  # an empty variable counts as unset, as compose files write it
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise InvalidConfiguration(f"{name}_FILE: {error.strerror}: {path}") from None


def _refuse_unknown(
    settings: type[BaseModel], *, service: str, environ: Mapping[str, str], others: Iterable[str]
) -> None:
    known = {variable_name(field, service=service) for field in settings.model_fields}
    for common in (CommonSettings, KafkaSettings, PostgresSettings):
        known |= {PREFIX + field.upper() for field in common.model_fields}
    known |= {PREFIX + other for other in others}
    foreign = tuple(
        f"{PREFIX}{owner}_" for owner in (*SERVICES, *TOOL_PREFIXES) if owner != service.upper()
    )
    for name in environ:
        bare = name.removesuffix("_FILE")
        if name.startswith(PREFIX) and not {name, bare} & known and not name.startswith(foreign):
            raise InvalidConfiguration(f"{name} is not a setting of {service}")


def _explain(error: ValidationError, *, service: str) -> str:
    lines: list[str] = []
    for problem in error.errors(include_input=False, include_url=False):
        location: tuple[Any, ...] = problem["loc"]
        name = variable_name(str(location[0]), service=service) if location else service
        missing = problem["type"] == "missing"
        why = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name} is missing" if missing else f"{name}: {why}")
    return "; ".join(lines)


def check_dsn(text: str) -> None:
    """Raise ValueError, quoting none of it, where the text is not one address of a Postgres.

    An unescaped `/`, `?`, `#` or `@` moves part of a password to where the driver looks for a host,
    a port or an option, and its errors quote what they find there.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        if parts.query:
            parse_qsl(parts.query, strict_parsing=True)
    except ValueError:
        raise ValueError(_DSN_MISTAKE) from None
    moved = parts.fragment or text.count("@") > 1 or "@" in parts.path + parts.query
    if parts.scheme != "postgresql" or not host or port == 0 or moved:
        raise ValueError(_DSN_MISTAKE)


def check_zone(name: str) -> None:
    """Raise ValueError where the tz database has no zone of this name, spelt like this."""
    try:
        ZoneInfo(name)
    except (
        ValueError,
        OSError,
        KeyError,
    ):  # of no such file, of a folder, of a path that leads out
        mistake = f"{name!r} is not a time zone of the tz database, such as Europe/Berlin"
        raise ValueError(mistake) from None


def parse_keys(text: str) -> dict[str, str]:
    """Return key → name from `name:key,name:key`. Raises ValueError, without quoting a key."""
    pairs: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (word.strip() for word in text.split(","))), 1):
        name, colon, key = entry.partition(":")
        if not (name and colon and key):
            raise ValueError(f"entry {number} is not name:key")
        if key in pairs:
            raise ValueError(f"entry {number} repeats a key")
        pairs[key] = name
    return pairs


def check_keys(text: str, *, environment: Environment | None) -> None:
    """Raise ValueError where the text names no key, or a weak one in production."""
    pairs = parse_keys(text)
    if not pairs:
        raise ValueError("names no key")
    if environment is Environment.PRODUCTION and min(map(len, pairs)) < SHORTEST_KEY:
        raise ValueError(f"holds a key shorter than {SHORTEST_KEY} characters")
