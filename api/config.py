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
    check_answers: bool = True  # outside production: an answer that breaks the contract becomes a 500
    load_token: SecretStr | None = None  # requests that carry it belong to a load run and are not limited
    thingspeak_url: str = "https://api.thingspeak.com"
    thingspeak_timeout: float = Field(default=10.0, gt=0)  # seconds
    faults_file: Path | None = None  # only drills set it: a fault that every worker obeys

    @model_validator(mode="after")
    def no_faults_in_production(self) -> "Settings":
        if self.env == "production" and self.faults_file:
            raise ValueError("EVARA_FAULTS_FILE is set, but EVARA_ENV is production; faults are for drills alone, unset one of the two")
        return self


@lru_cache
def from_environment() -> Settings:
    return Settings()
