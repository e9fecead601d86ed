"""The typed container for the state of one app; the init_app of each module sets its fields."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flask import Flask, Response, current_app

from api.platform.types import Headers, JsonObject

if TYPE_CHECKING:
    from flask_limiter import Limiter
    from prometheus_client import Counter

    from api.platform.config import PlatformSettings
    from api.platform.db import Database
    from api.platform.http.health_checks import Check
    from api.platform.jobs.tasks import Task
    from api.platform.keys import Keyring
    from api.platform.telemetry.metrics import Registry
    from api.platform.telemetry.otlp import Tracing

EXTENSION = "evara"


@dataclass
class AppState:
    """State of one app; a field raises AttributeError until its module is initialised."""

    settings: "PlatformSettings"
    contract: Path  # file of the committed OpenAPI document
    tracing: "Tracing | None" = None  # None without a trace collector
    report_error: Callable[[Exception], None] | None = None  # None without a Sentry DSN
    # telemetry.metrics
    registry: "Registry" = field(init=False)
    route_ids: dict[tuple[str, str], str] = field(init=False)  # (method, URL rule) → route id
    timed_dispatch: Callable[[], Response] = field(init=False)
    exceptions: "Counter" = field(init=False)
    exception_types: set[str] = field(default_factory=set)  # classes that have their own series
    # db, keys
    database: "Database" = field(init=False)
    keyring: "Keyring" = field(init=False)
    store_data: Callable[[], None] = field(init=False)  # stores the data an app starts with
    # jobs
    tasks: "tuple[Task, ...]" = ()
    delivery_job: str = ""  # sends the outbox; empty without one
    job_names: set[str] = field(init=False)  # of both
    # http
    health_checks: "dict[str, Check]" = field(default_factory=dict)
    is_stopping: bool = False  # soon; requests are still answered
    limiter: "Limiter" = field(init=False)
    document: JsonObject = field(init=False)  # the OpenAPI document
    operations: JsonObject = field(init=False)  # of the document, by route id
    deprecations: dict[str, Headers] = field(init=False)  # route id → response headers


def init_app(app: Flask, settings: "PlatformSettings", contract: Path) -> None:
    """Attach an empty state to the app; every other init_app needs it."""
    app.extensions[EXTENSION] = AppState(settings, contract)


def app_state(app: Flask | None = None) -> AppState:
    """Return the state of `app`, by default of the current app."""
    return cast(AppState, (app or current_app).extensions[EXTENSION])
