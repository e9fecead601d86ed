"""Settings of the API, read once from EVARA_* variables and .env; it imports nothing of ours."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every knob with its unit; .env.example shows them all."""

    model_config = SettingsConfigDict(env_prefix="EVARA_", env_file=".env", extra="ignore")

    env: Literal["development", "test", "production"] = "development"
    database_url: str = "sqlite:///evara.db"
    limiter_url: str = "memory://"  # sqlite:///file is shared between the workers of one machine without a server
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    load_token: SecretStr | None = None  # requests that carry it belong to a load run and are not limited
    thingspeak_url: str = "https://api.thingspeak.com"
    thingspeak_timeout: float = Field(default=10.0, gt=0)  # seconds
    request_deadline: float = Field(default=10.0, gt=0)  # seconds that a request has for its calls to others
    job_deadline: float = Field(default=600.0, gt=0)  # seconds that a run of a job has for them
    live_ttl: float = Field(default=15.0, gt=0)  # seconds for which a live answer is fresh
    redis_url: str | None = None  # cache and breaker shared between machines; without it, in the process
    faults_file: Path | None = None  # only drills set it: a fault that every worker obeys

    @model_validator(mode="after")
    def no_faults_in_production(self) -> "Settings":
        if self.env == "production" and self.faults_file:
            raise ValueError("EVARA_FAULTS_FILE is set, but EVARA_ENV is production; faults are for drills alone, unset one of the two")
        return self


@lru_cache
def from_environment() -> Settings:
    return Settings()
