"""Settings that every API needs, from EVARA_* variables, .env and the files in /run/secrets."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from flask.helpers import get_debug_flag
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.platform import wire


def split_list(value: Any) -> Any:
    """Return the entries of a comma-separated text; return anything else unchanged."""
    if not isinstance(value, str):
        return value
    return [entry.strip() for entry in value.split(",") if entry.strip()]


# .example.org stands for the domain and all its subdomains.
Host = Annotated[str, StringConstraints(pattern=r"^\.?[\w-]+(\.[\w-]+)*$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[\w.-]+(:\d+)?$")]
CommaSeparated = BeforeValidator(split_list)
NUMBER_PARSERS: dict[Any, Any] = {int: wire.parse_whole, float: wire.parse_decimal}  # by type
# Secrets from examples, which are public.
EXAMPLE_SECRETS = frozenset(
    {"evara", "evara-development-key", "example", "change-me", "changeme", "password", "secret"}
)
CONTAINER_SECRETS = Path("/run/secrets")
SECRETS = CONTAINER_SECRETS if CONTAINER_SECRETS.is_dir() else None


class PlatformSettings(BaseSettings):
    """Settings with their units; .env.example shows them.

    A variable takes precedence over .env, and .env over a secret file.
    """

    model_config = SettingsConfigDict(
        env_prefix="EVARA_",
        env_file=".env",
        secrets_dir=SECRETS,
        extra="ignore",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    env: Literal["development", "test", "production"] = "development"
    database_url: str = "sqlite:///evara.db"
    # sqlite:///file is shared between the workers of one machine, without a server
    limiter_url: str = "memory://"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    # proxies before the API whose X-Forwarded-For and X-Forwarded-Proto are trusted
    proxy_hops: int = Field(default=0, ge=0)
    # accepted Host names beside those of this machine; empty: any, unless there is a
    # development key
    trusted_hosts: Annotated[tuple[Host, ...], NoDecode, CommaSeparated] = ()
    # origins of pages that may call the API from a browser
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, CommaSeparated] = ()
    # an admin key without a database row, in development only
    development_key: SecretStr | None = None
    # seconds, 0 = none; PostgreSQL only
    database_statement_timeout: float = Field(default=0.0, ge=0)
    version: str = "dev"  # of the release; in every log line, span and error report
    # of a trace collector, such as http://host:4318; without it nothing is traced
    otlp_endpoint: str | None = None
    # share of requests and jobs to sample when the caller has not decided
    trace_ratio: float = Field(default=0.1, ge=0, le=1)
    # receives unhandled exceptions; without it they are only logged
    sentry_dsn: SecretStr | None = None
    # seconds that a request may spend on calls to other hosts
    request_deadline: float = Field(default=10.0, gt=0)
    # seconds that a run of a job may spend on calls to other hosts
    job_deadline: float = Field(default=600.0, gt=0)
    # shares caches between machines; without it each process has its own
    redis_url: str | None = None
    # the job queue; redis:// between machines
    jobs_url: str = Field(default="sqlite:///jobs.db", pattern=r"^(sqlite:///.+|rediss?://.+)$")
    # seconds until another worker can take over the jobs of a killed one
    lease_seconds: float = Field(default=10.0, ge=2)
    # attempts of a job before it becomes a dead letter
    job_attempts: int = Field(default=4, ge=1)
    # receives the deliveries of the outbox; empty: nothing is delivered
    webhook_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    webhook_secret: SecretStr | None = None  # signs deliveries
    # attempts, over 37 minutes, before a delivery becomes a dead letter
    webhook_attempts: int = Field(default=12, ge=1)
    # seconds before the second attempt; doubles with each, up to 10 minutes
    retry_seconds: float = Field(default=2.0, gt=0)
    # the fault that every worker injects; only drills set it
    faults_file: Path | None = None

    @field_validator("*", mode="before")
    @classmethod
    def parse_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Return the number in a text that is to be one; pydantic would also read `1_000`."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if not isinstance(value, str) or annotation not in NUMBER_PARSERS:
            return value
        return NUMBER_PARSERS[annotation](value.strip(wire.SPACE))

    @model_validator(mode="after")
    def check_production(self) -> Self:
        """Raise ValueError for drills, debugging and example secrets in production."""
        if self.env == "production":
            problems = self.production_problems()
            if problems:
                raise ValueError("\n".join(problems))
        return self

    def production_problems(self) -> list[str]:
        """Return a sentence for each setting that must not be used in production."""
        problems = []
        if self.faults_file:
            problems.append(
                "EVARA_FAULTS_FILE is set, but EVARA_ENV is production; "
                "faults are for drills only, unset one of the two"
            )
        if self.development_key:
            problems.append(
                "EVARA_DEVELOPMENT_KEY is set, but EVARA_ENV is production; "
                "unset it, and use `flask keys create`"
            )
        if get_debug_flag():
            problems.append(
                "FLASK_DEBUG is on, but EVARA_ENV is production; unset it, it lets callers run code"
            )
        for name, value in self:
            if secret_in(value) in EXAMPLE_SECRETS:
                problems.append(
                    f"EVARA_{name.upper()} has a secret from an example, but EVARA_ENV is "
                    "production; fix: openssl rand -hex 32"
                )
        return problems


def secret_in(value: object) -> str | None:
    """Return the secret that a setting holds: its text, or the password of a URL."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, str):
        return urlsplit(value).password
    return None
