"""What the environment says to alerts, as one frozen value."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from services.alerts.domain.target import why_url_refused
from shared.configuration import CommonSettings, Environment, KafkaSettings, PostgresSettings

SHORTEST_SECRET = 16


class Settings(CommonSettings, KafkaSettings, PostgresSettings):
    """Fields are checked in this order, and each may look at those above it."""

    host: str = Field("127.0.0.1", description="address of /livez, /readyz and /metrics")
    port: int = Field(8302, ge=0, le=65535, description="0 takes a free port")
    group: str = Field(
        "alerts",
        pattern="^alerts",
        description="whose progress to continue; begins with alerts",
    )
    worker: str | None = Field(
        None, min_length=1, description="name of this process among the workers; unset: made up"
    )
    ledger: bool = Field(False, description="write what each batch covered (chaos tests)")
    webhook_allow_local: bool = Field(
        False, description="permit plain http and private addresses; refused in production"
    )
    webhook_url: SecretStr | None = Field(
        None, description="where to post alerts; unset: they are kept, none is sent"
    )
    webhook_secret: SecretStr | None = Field(
        None, validate_default=True, description="key of the signatures; needed with the url"
    )

    @field_validator("webhook_allow_local")
    @classmethod
    def _not_in_production(cls, allow: bool, info: ValidationInfo) -> bool:  # noqa: FBT001  pydantic calls it
        if allow and info.data.get("environment") is Environment.PRODUCTION:
            raise ValueError("is refused in production")
        return allow

    @field_validator("webhook_url")
    @classmethod
    def _reachable_from_outside(
        cls, url: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        allow_local = bool(info.data.get("webhook_allow_local"))
        why = url and why_url_refused(url.get_secret_value(), allow_local=allow_local)
        if why:
            raise ValueError(why)
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("webhook_url") is not None and secret is None:
            raise ValueError("is missing: it is needed with the url")
        weak = secret is not None and len(secret.get_secret_value()) < SHORTEST_SECRET
        if weak and info.data.get("environment") is Environment.PRODUCTION:
            raise ValueError(f"is shorter than {SHORTEST_SECRET} characters")
        return secret
