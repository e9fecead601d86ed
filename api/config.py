"""Settings of the API, read once from EVARA_* variables and .env; it imports nothing of ours."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every knob with its unit; .env.example shows them all."""

    model_config = SettingsConfigDict(env_prefix="EVARA_", env_file=".env", extra="ignore", hide_input_in_errors=True)

    env: Literal["development", "test", "production"] = "development"
    database_url: str = "sqlite:///evara.db"
    limiter_url: str = "memory://"  # sqlite:///file is shared between the workers of one machine without a server
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    load_token: SecretStr | None = None  # requests that carry it belong to a load run and are not limited
    thingspeak_url: str = "https://api.thingspeak.com"
    thingspeak_timeout: float = Field(default=10.0, gt=0)  # seconds
    database_statement_timeout: float = Field(default=0.0, ge=0)  # seconds, 0 = none; PostgreSQL alone
    version: str = "dev"  # of the release, in every log line, span and error report
    otlp_endpoint: str | None = None  # of a trace collector, http://host:4318; without it nothing is traced
    trace_ratio: float = Field(default=0.1, ge=0, le=1)  # of the requests and jobs whose caller has not decided
    sentry_dsn: SecretStr | None = None  # where unhandled exceptions are reported; without it nowhere
    faults_file: Path | None = None  # only drills set it: a fault that every worker obeys

    @model_validator(mode="after")
    def no_faults_in_production(self) -> "Settings":
        if self.env == "production" and self.faults_file:
            raise ValueError("EVARA_FAULTS_FILE is set, but EVARA_ENV is production; faults are for drills alone, unset one of the two")
        return self


@lru_cache
def from_environment() -> Settings:
    return Settings()
