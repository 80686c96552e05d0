"""What the environment says to the segmenter, as one frozen value."""

from pydantic import Field, field_validator

from services.segmenter.usecases.keep_log import LEAST_KEPT
from shared.configuration import CommonSettings, KafkaSettings, PostgresSettings


class Settings(CommonSettings, KafkaSettings, PostgresSettings):
    """Its Postgres role is `ebbtide_segmenter`."""

    host: str = Field("127.0.0.1", description="address of /livez, /readyz and /metrics")
    port: int = Field(8301, ge=0, le=65535, description="0 takes a free port")
    group: str = Field(
        "segmenter",
        pattern="^segmenter",
        description="whose progress to continue; begins with segmenter",
    )
    worker: str | None = Field(
        None, min_length=1, description="name of this process among the workers; unset: made up"
    )
    ledger: bool = Field(False, description="write what each batch covered (chaos tests)")
    live_window_s: float = Field(
        86_400,
        gt=0,
        description="events older than this when they arrive are history, and warn nobody",
    )
    event_log_days: int = Field(
        400,
        ge=0,
        le=36_500,
        description="days of receipts that the table events keeps; 0 keeps them for ever",
    )
    jobs_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="days that background jobs are kept after they ended; 0 keeps them for ever",
    )
    channels: int = Field(
        200,
        ge=1,
        le=10_000,
        description="acquisition channels that are told apart; what comes by later ones is `other`",
    )
    counters: bool = Field(
        True,
        description="count activity, retention, flows and funnels; off only to measure their cost: "
        "what was folded without is missing until a rebuild",
    )
    policy_users_per_s: float = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="users a second that a process takes over to a policy that was activated",
    )

    reconcile_every_s: float = Field(
        300, ge=0, description="pause between recounts of a sample from the event log; 0: none"
    )
    reconcile_users: int = Field(20, ge=1, le=1_000, description="users of such a sample")

    @field_validator("event_log_days")
    @classmethod
    def _longer_than_repeats_may_take(cls, days: int) -> int:
        if 0 < days < LEAST_KEPT.days:
            raise ValueError(
                f"{days} is less than {LEAST_KEPT.days}: what Kafka keeps must be told from its repeats, "
                "which are looked up in the 8 days before; 0 keeps the log for ever"
            )
        return days
