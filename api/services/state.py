"""The container for what the services keep per app: clients of other hosts and their caches."""

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from api.config import Settings
from api.platform.outbound.redis_client import OptionalRedis
from api.platform.outbound.stale_cache import Cache
from api.services.thingspeak import ThingSpeak

EXTENSION = "evara_services"


@dataclass
class ServiceState:
    """State of one app."""

    thingspeak: ThingSpeak
    live_answers: Cache


def init_app(app: Flask, settings: Settings) -> None:
    """Make the clients that the settings describe and attach them to the app."""
    shared = None
    if settings.redis_url:
        shared = OptionalRedis(settings.redis_url)
    app.extensions[EXTENSION] = ServiceState(
        ThingSpeak(settings.thingspeak_url, settings.thingspeak_timeout),
        Cache(settings.live_ttl, shared),
    )


def service_state() -> ServiceState:
    """Return the state of the current app."""
    return cast(ServiceState, current_app.extensions[EXTENSION])
