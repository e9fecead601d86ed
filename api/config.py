"""Settings of the API, read once from EVARA_* variables and .env; it imports nothing of ours."""

from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from flask.helpers import get_debug_flag
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EXAMPLES = frozenset({"evara", "evara-development-key", "example", "change-me", "changeme", "password", "secret"})


class Settings(BaseSettings):
    """Every knob with its unit; .env.example shows them all."""

    model_config = SettingsConfigDict(env_prefix="EVARA_", env_file=".env", extra="ignore", hide_input_in_errors=True)

    env: Literal["development", "test", "production"] = "development"
    database_url: str = "sqlite:///evara.db"
    limiter_url: str = "memory://"  # sqlite:///file is shared between the workers of one machine without a server
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    development_key: SecretStr | None = None  # an admin key without a row, in development alone
    thingspeak_url: str = "https://api.thingspeak.com"
    thingspeak_timeout: float = Field(default=10.0, gt=0)  # seconds
    faults_file: Path | None = None  # only drills set it: a fault that every worker obeys

    @model_validator(mode="after")
    def no_faults_in_production(self) -> "Settings":
        if self.env == "production" and self.faults_file:
            raise ValueError("EVARA_FAULTS_FILE is set, but EVARA_ENV is production; faults are for drills alone, unset one of the two")
        return self

    @model_validator(mode="after")
    def no_known_secrets_in_production(self) -> "Settings":
        """What anybody can read in the repository protects nothing."""
        if self.env != "production":
            return self
        if self.development_key:
            raise ValueError(
                "EVARA_DEVELOPMENT_KEY is set, but EVARA_ENV is production; unset it, and make keys: flask --app api.app keys create"
            )
        if get_debug_flag():
            raise ValueError("FLASK_DEBUG is on, but EVARA_ENV is production; it lets callers run code, unset it")
        for name, value in self:
            secret = (
                value.get_secret_value() if isinstance(value, SecretStr) else urlsplit(value).password if isinstance(value, str) else None
            )
            if secret in EXAMPLES:
                raise ValueError(
                    f"EVARA_{name.upper()} has a secret from an example, but EVARA_ENV is production; make one: openssl rand -hex 32"
                )
        return self


@lru_cache
def from_environment() -> Settings:
    return Settings()
