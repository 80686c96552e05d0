import pytest

from services.segmenter.settings import Settings
from shared.configuration import load
from shared.errors import InvalidConfiguration

NEEDED = {
    "EBBTIDE_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "EBBTIDE_POSTGRES_DSN": "postgresql://ebbtide_segmenter:x@127.0.0.1/ebbtide",
}


def settings(**extra: str) -> Settings:
    return load(Settings, service="segmenter", environ={**NEEDED, **extra})


def test_the_event_log_is_kept_for_400_days_unless_told_otherwise() -> None:
    assert settings().event_log_days == 400
    assert settings(EBBTIDE_SEGMENTER_EVENT_LOG_DAYS="23").event_log_days == 23
    assert settings(EBBTIDE_SEGMENTER_EVENT_LOG_DAYS="0").event_log_days == 0


@pytest.mark.parametrize("days", ["1", "8", "22", "-1", "36501", "3.5", "never"])
def test_a_log_that_is_too_short_to_tell_repeats_is_refused_by_name(days: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^EBBTIDE_SEGMENTER_EVENT_LOG_DAYS: "):
        settings(EBBTIDE_SEGMENTER_EVENT_LOG_DAYS=days)


def test_the_refusal_says_how_long_is_long_enough_and_why() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        settings(EBBTIDE_SEGMENTER_EVENT_LOG_DAYS="10")

    assert str(refused.value) == (
        "EBBTIDE_SEGMENTER_EVENT_LOG_DAYS: 10 is less than 23: what Kafka keeps must be told from its "
        "repeats, which are looked up in the 8 days before; 0 keeps the log for ever"
    )


def test_ended_jobs_are_kept_for_90_days_unless_told_otherwise() -> None:
    assert settings().jobs_days == 90
    assert settings(EBBTIDE_SEGMENTER_JOBS_DAYS="0").jobs_days == 0


@pytest.mark.parametrize("days", ["-1", "36501", "0.5", "never"])
def test_a_number_of_days_that_makes_no_sense_is_refused_by_name(days: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^EBBTIDE_SEGMENTER_JOBS_DAYS: "):
        settings(EBBTIDE_SEGMENTER_JOBS_DAYS=days)
