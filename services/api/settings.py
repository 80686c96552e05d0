"""What the environment says to the api, as one frozen value."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.configuration import CommonSettings, PostgresSettings, check_keys, parse_keys


class Settings(CommonSettings, PostgresSettings):
    """Its Postgres role is `ebbtide_api`."""

    host: str = Field("127.0.0.1", description="address that dashboards and operators use")
    port: int = Field(8200, ge=0, le=65535, description="0 takes a free port")
    connections_per_address: int = Field(
        512, ge=0, description="connections that one address may have; 0: no limit"
    )
    keys: SecretStr = Field(description="name:key, comma-separated; bearer tokens that may read")
    writers: str = Field(
        "", description="names of the keys that may also change definitions, comma-separated"
    )
    group: str = Field("segmenter", description="the segmenter's group whose lag is shown")

    @field_validator("keys")
    @classmethod
    def _well_formed(cls, keys: SecretStr, info: ValidationInfo) -> SecretStr:
        check_keys(keys.get_secret_value(), environment=info.data.get("environment"))
        return keys

    @field_validator("writers")
    @classmethod
    def _known(cls, writers: str, info: ValidationInfo) -> str:
        keys = info.data.get("keys")
        known = set(parse_keys(keys.get_secret_value()).values()) if keys else set()
        if keys and (unknown := sorted(set(names_in(writers)) - known)):
            raise ValueError(f"{unknown[0]!r} is the name of no key")
        return writers

    def writer_names(self) -> list[str]:
        return names_in(self.writers)


def names_in(text: str) -> list[str]:
    """Return the names in a text with commas between them."""
    return [name for name in (word.strip() for word in text.split(",")) if name]
