"""What the environment says to ingest, as one frozen value."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.configuration import CommonSettings, KafkaSettings, check_keys


class Settings(CommonSettings, KafkaSettings):
    """Fields are checked in this order, and each may look at those above it."""

    host: str = Field("127.0.0.1", description="address that product apps send to")
    port: int = Field(8100, ge=0, le=65535, description="0 takes a free port")
    connections_per_address: int = Field(
        512, ge=0, description="connections that one address may have; 0: no limit"
    )
    body_s: float = Field(60.0, gt=0, description="within so many seconds a body must be here")
    write_keys: SecretStr = Field(description="source:key, comma-separated; a source may have two")

    @field_validator("write_keys")
    @classmethod
    def _well_formed(cls, keys: SecretStr, info: ValidationInfo) -> SecretStr:
        check_keys(keys.get_secret_value(), environment=info.data.get("environment"))
        return keys
