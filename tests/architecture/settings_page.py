"""`.env.example` from the settings themselves: `python -m tests.architecture.settings_page` writes it."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.alerts.settings import Settings as AlertsSettings
from services.api.settings import Settings as ApiSettings
from services.ingest.settings import Settings as IngestSettings
from services.segmenter.settings import Settings as SegmenterSettings
from shared.configuration import (
    CommonSettings,
    KafkaSettings,
    PostgresSettings,
    is_shared,
    variable_name,
)
from shared.database.migrate import MigrateSettings
from shared.kafka.provision import ProvisionSettings

PAGE = Path(__file__).parents[2] / ".env.example"
SHARED: tuple[type[BaseModel], ...] = (CommonSettings, KafkaSettings, PostgresSettings)
OWN: tuple[tuple[str, type[BaseModel]], ...] = (
    ("ingest", IngestSettings),
    ("segmenter", SegmenterSettings),
    ("alerts", AlertsSettings),
    ("api", ApiSettings),
    ("migrate", MigrateSettings),
    ("migrate", ProvisionSettings),
)
HEAD = """\
# Every variable of every service, with its default. A commented line shows the default; one that
# is not commented has none and must be set. Any of them may be given as <NAME>_FILE instead: the
# path of a file that holds the value. A missing, malformed or unknown one stops a process at its
# start, with its name.
"""
# What only docker-compose.yml reads.
COMPOSE = """
# --- docker compose ---
# password of the database's owner, role ebbtide
EBBTIDE_MIGRATE_OWNER_PASSWORD=
# address on which ingest and api are published
# PUBLISH_ON=127.0.0.1"""


def page() -> str:
    """Return the page as it should be."""
    lines = [HEAD, "# --- every service ---"]
    for model in SHARED:
        lines += _lines(model, "")
    for service, model in OWN:
        lines += ["", f"# --- {service}: {_programme(service, model)} ---"]
        lines += _lines(model, service, own=True)
    return "\n".join([*lines, COMPOSE]) + "\n"


def _lines(model: type[BaseModel], service: str, *, own: bool = False) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if own and is_shared(name):
            continue
        yield f"# {field.description}"
        yield _assignment(variable_name(name, service=service), field)


def _assignment(name: str, field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return f"{name}="
    default = field.default
    if isinstance(default, SecretStr):
        raise TypeError(f"{name}: a secret must not have a default")
    shown = (
        "" if default is None else str(default).lower() if isinstance(default, bool) else default
    )
    return f"# {name}={shown}"


def _programme(service: str, model: type[BaseModel]) -> str:
    return (
        f"python -m {model.__module__}" if service == "migrate" else f"python -m services.{service}"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
