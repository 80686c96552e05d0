import pytest

from services.alerts.settings import Settings
from shared.configuration import load
from shared.errors import InvalidConfiguration

NEEDED = {
    "EBBTIDE_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "EBBTIDE_POSTGRES_DSN": "postgresql://ebbtide_alerts:x@127.0.0.1/ebbtide",
}
WEBHOOK = {
    "EBBTIDE_ALERTS_WEBHOOK_URL": "https://hooks.example.com/ebbtide",
    "EBBTIDE_ALERTS_WEBHOOK_SECRET": "0123456789abcdef",
}


def settings(**extra: str) -> Settings:
    return load(Settings, service="alerts", environ={**NEEDED, **extra})


def test_without_a_webhook_nothing_more_is_needed() -> None:
    loaded = settings()

    assert (loaded.host, loaded.port, loaded.group) == ("127.0.0.1", 8302, "alerts")
    assert loaded.webhook_url is None
    assert loaded.webhook_secret is None


def test_a_webhook_is_an_address_and_a_secret_neither_of_which_is_shown() -> None:
    loaded = settings(**WEBHOOK, EBBTIDE_ENVIRONMENT="production")

    assert loaded.webhook_url is not None
    assert loaded.webhook_url.get_secret_value() == "https://hooks.example.com/ebbtide"
    assert "hooks.example.com" not in repr(loaded)
    assert "0123456789abcdef" not in repr(loaded)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"EBBTIDE_ALERTS_WEBHOOK_URL": "https://h.example.com/"}, "WEBHOOK_SECRET"),
        ({**WEBHOOK, "EBBTIDE_ALERTS_WEBHOOK_URL": "http://h.example.com/"}, "WEBHOOK_URL"),
        ({**WEBHOOK, "EBBTIDE_ALERTS_WEBHOOK_URL": "https://u:p@h.example.com/"}, "WEBHOOK_URL"),
        ({"EBBTIDE_ALERTS_GROUP": "segmenter"}, "GROUP"),
        ({"EBBTIDE_ALERTS_PORT": "70000"}, "PORT"),
        ({"EBBTIDE_ALERTS_WEBHOOK_RETRIES": "3"}, "WEBHOOK_RETRIES"),
        (
            {"EBBTIDE_ENVIRONMENT": "production", "EBBTIDE_ALERTS_WEBHOOK_ALLOW_LOCAL": "true"},
            "WEBHOOK_ALLOW_LOCAL",
        ),
        (
            {
                **WEBHOOK,
                "EBBTIDE_ENVIRONMENT": "production",
                "EBBTIDE_ALERTS_WEBHOOK_SECRET": "short",
            },
            "WEBHOOK_SECRET",
        ),
    ],
)
def test_a_mistake_is_named_by_its_variable(given: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"EBBTIDE_ALERTS_{named}"):
        settings(**given)


def test_local_targets_are_possible_in_development() -> None:
    loaded = settings(
        EBBTIDE_ALERTS_WEBHOOK_ALLOW_LOCAL="true",
        EBBTIDE_ALERTS_WEBHOOK_URL="http://127.0.0.1:9000/hook",
        EBBTIDE_ALERTS_WEBHOOK_SECRET="short",
    )

    assert loaded.webhook_allow_local


def test_a_refused_address_is_not_repeated_in_the_message() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        settings(**{**WEBHOOK, "EBBTIDE_ALERTS_WEBHOOK_URL": "http://h.example.com/token-in-path"})

    assert "token-in-path" not in str(caught.value)
