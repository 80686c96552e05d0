import pytest

from shared.configuration import CommonSettings, KafkaSettings, PostgresSettings, load
from shared.errors import InvalidConfiguration


class Settings(CommonSettings, PostgresSettings):
    pass


def loaded(dsn: str) -> str:
    settings = load(Settings, service="api", environ={"EBBTIDE_POSTGRES_DSN": dsn})
    return settings.postgres_dsn.get_secret_value()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ebbtide_api:p@127.0.0.1:5432/ebbtide",
        "postgresql://ebbtide_api:a%2Fb%40c%23d%3Fe@db.example/ebbtide?sslmode=require",
        "postgresql://ebbtide_api@[::1]:65535/ebbtide",
    ],
)
def test_an_address_of_postgres_is_taken_as_it_is(dsn: str) -> None:
    assert loaded(dsn) == dsn


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:Sup3rS3cret#x@db:5432/ebbtide",
        "postgresql://u:5432#Sup3rS3cret@db:5432/ebbtide",
        "postgresql://u:5432/Sup3rS3cret@db:5432/ebbtide",
        "postgresql://u:5432?Sup3rS3cret@db:5432/ebbtide",
        "postgresql://u:5432?Sup3r=S3cret@db:5432/ebbtide",
        "postgresql://u:Sup3rS3cret@x@db:5432/ebbtide",
        "postgresql://u:[Sup3rS3cret@db:5432/ebbtide",
        "postgresql://u:Sup3rS3cret@db:99999/ebbtide",
        "postgresql://u:Sup3rS3cret@db:0/ebbtide",
        "postgresql://u:Sup3rS3cret@db:port/ebbtide",
        "postgresql://u:Sup3rS3cret@/ebbtide",
        "mysql://u:Sup3rS3cret@db:5432/ebbtide",
        "u:Sup3rS3cret@db:5432/ebbtide",
    ],
)
def test_another_address_is_refused_by_the_variables_name_and_none_of_it_is_quoted(
    dsn: str,
) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^EBBTIDE_POSTGRES_DSN: ") as caught:
        loaded(dsn)

    said = str(caught.value)
    assert not any(part in said for part in ("Sup3r", "S3cret", "db:", "99999"))


class KafkaOnly(CommonSettings, KafkaSettings):
    pass


@pytest.mark.parametrize("addresses", ["127.0.0.1:9092", "a:9092,b:9093", "[::1]:9092, k-1.x:1"])
def test_addresses_of_kafka_are_taken_as_they_are(addresses: str) -> None:
    settings = load(KafkaOnly, service="ingest", environ={"EBBTIDE_KAFKA_BOOTSTRAP": addresses})

    assert settings.kafka_bootstrap == addresses


@pytest.mark.parametrize(
    "addresses", ["host:port", "kafka", "kafka:0", "kafka:65536", ":9092", "a:1,,b:2", "http://a:1"]
)
def test_other_addresses_of_kafka_are_refused_by_the_variables_name(addresses: str) -> None:
    with pytest.raises(
        InvalidConfiguration, match=r"^EBBTIDE_KAFKA_BOOTSTRAP: '.*' is not host:port"
    ):
        load(KafkaOnly, service="ingest", environ={"EBBTIDE_KAFKA_BOOTSTRAP": addresses})


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]
)
def test_a_zone_of_the_tz_database_is_taken(zone: str) -> None:
    settings = load(CommonSettings, service="api", environ={"EBBTIDE_PRODUCT_ZONE": zone})

    assert settings.product_zone == zone


def test_days_are_those_of_utc_where_no_zone_is_given() -> None:
    assert load(CommonSettings, service="api", environ={}).product_zone == "UTC"


@pytest.mark.parametrize(
    "zone", ["Europe/Berlinn", "Europe", "CEST", "+02:00", "../etc/passwd", "/etc/localtime", "ü"]
)
def test_another_zone_is_refused_by_the_variables_name(zone: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        load(CommonSettings, service="api", environ={"EBBTIDE_PRODUCT_ZONE": zone})

    assert str(caught.value) == (
        f"EBBTIDE_PRODUCT_ZONE: {zone!r} is not a time zone of the tz database, such as Europe/Berlin"
    )
