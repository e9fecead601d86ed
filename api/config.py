"""Settings of the API, read once from EVARA_* variables, .env, and files named like them in /run/secrets; it imports nothing of ours."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from flask import current_app
from flask.helpers import get_debug_flag
from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def listed(given: Any) -> Any:
    """`a, b` → ["a", "b"]; nothing → []."""
    return (
        [part.strip() for part in given.split(",") if part.strip()]
        if isinstance(given, str)
        else given
    )


Host = Annotated[
    str, StringConstraints(pattern=r"^\.?[\w-]+(\.[\w-]+)*$")
]  # .example.org: with all below it
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[\w.-]+(:\d+)?$")]
EXAMPLES = frozenset(
    {"evara", "evara-development-key", "example", "change-me", "changeme", "password", "secret"}
)


SECRETS = (
    folder if (folder := Path("/run/secrets")).is_dir() else None
)  # where containers get theirs


class Settings(BaseSettings):
    """Every knob with its unit; .env.example shows them all. A variable wins over .env, and that over a secret file."""

    model_config = SettingsConfigDict(
        env_prefix="EVARA_",
        env_file=".env",
        secrets_dir=SECRETS,
        extra="ignore",
        hide_input_in_errors=True,
    )

    env: Literal["development", "test", "production"] = "development"
    database_url: str = "sqlite:///evara.db"
    limiter_url: str = (
        "memory://"  # sqlite:///file is shared between the workers of one machine without a server
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    proxy_hops: int = Field(
        default=0, ge=0
    )  # proxies before the API whose X-Forwarded-For and -Proto are believed
    trusted_hosts: Annotated[
        tuple[Host, ...], NoDecode, BeforeValidator(listed)
    ] = ()  # names that Host may say; none: any
    cors_origins: Annotated[
        tuple[Origin, ...], NoDecode, BeforeValidator(listed)
    ] = ()  # pages of others that may call from a browser
    development_key: SecretStr | None = None  # an admin key without a row, in development alone
    check_answers: bool = (
        True  # outside production: an answer that breaks the contract becomes a 500
    )
    thingspeak_url: str = "https://api.thingspeak.com"
    thingspeak_timeout: float = Field(default=10.0, gt=0)  # seconds
    database_statement_timeout: float = Field(
        default=0.0, ge=0
    )  # seconds, 0 = none; PostgreSQL alone
    version: str = "dev"  # of the release, in every log line, span and error report
    otlp_endpoint: str | None = (
        None  # of a trace collector, http://host:4318; without it nothing is traced
    )
    trace_ratio: float = Field(
        default=0.1, ge=0, le=1
    )  # of the requests and jobs whose caller has not decided
    sentry_dsn: SecretStr | None = (
        None  # where unhandled exceptions are reported; without it nowhere
    )
    request_deadline: float = Field(
        default=10.0, gt=0
    )  # seconds that a request has for its calls to others
    job_deadline: float = Field(default=600.0, gt=0)  # seconds that a run of a job has for them
    live_ttl: float = Field(default=15.0, gt=0)  # seconds for which a live answer is fresh
    redis_url: str | None = (
        None  # cache and breaker shared between machines; without it, in the process
    )
    jobs_url: str = Field(
        default="sqlite:///jobs.db", pattern=r"^(sqlite:///.+|rediss?://.+)$"
    )  # the queue; redis:// between machines
    sync_every: float = Field(default=60.0, gt=0)  # seconds
    lease_seconds: float = Field(
        default=10.0, ge=2
    )  # so long the work of a worker that was killed waits for another
    job_attempts: int = Field(default=4, ge=1)  # of the sync of one node, then a dead letter
    webhook_url: str = Field(
        default="", pattern=r"^(https?://.+)?$"
    )  # where alarms are delivered; empty: nowhere
    webhook_secret: SecretStr | None = None  # signs deliveries
    webhook_attempts: int = Field(
        default=12, ge=1
    )  # of one delivery, then a dead letter: after 37 minutes
    retry_seconds: float = Field(
        default=2.0, gt=0
    )  # before the second attempt; doubles with each, up to 10 minutes
    faults_file: Path | None = None  # only drills set it: a fault that every worker obeys

    @model_validator(mode="after")
    def fit_for_production(self) -> "Settings":
        """Refuses what is for drills and development alone, and secrets that anybody can read in a repository."""
        wrong = {
            "EVARA_FAULTS_FILE is set, but EVARA_ENV is production; faults are for drills alone, unset one of the two": self.faults_file,
            "EVARA_DEVELOPMENT_KEY is set, but EVARA_ENV is production; unset it, and use `flask keys create`": self.development_key,
            "FLASK_DEBUG is on, but EVARA_ENV is production; it lets callers run code, unset it": get_debug_flag(),
        } | {
            f"EVARA_{name.upper()} has a secret from an example, but EVARA_ENV is production; make one: openssl rand -hex 32": True
            for name, value in self
            if secret_in(value) in EXAMPLES
        }
        if self.env == "production" and any(wrong.values()):
            raise ValueError("\n".join(sentence for sentence, so in wrong.items() if so))
        return self


def secret_in(value: object) -> str | None:
    """A secret's text, or the password of a URL."""
    return (
        value.get_secret_value()
        if isinstance(value, SecretStr)
        else urlsplit(value).password
        if isinstance(value, str)
        else None
    )


@lru_cache
def from_environment() -> Settings:
    return Settings()


def settings() -> Settings:
    """The settings of the current app."""
    return cast(Settings, current_app.extensions["evara_settings"])
