"""The newest entry of a node's ThingSpeak channel, fetched during the request or cached."""

from datetime import datetime
from typing import Any

from werkzeug.exceptions import NotFound, ServiceUnavailable

from api.models import Node
from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.outbound.stale_cache import CachedAnswer, FetchInProgress
from api.platform.types import Headers, JsonObject
from api.services import nodes
from api.services.entries import split_readings
from api.services.state import service_state
from api.services.thingspeak import NoAccess, Unavailable

RETRY_AFTER = 5  # seconds
NO_ANSWER = "ThingSpeak is unavailable, and no earlier answer is cached. Try again."
LiveResponse = tuple[JsonObject, Headers]  # body and headers


def newest(node_id: str) -> LiveResponse:
    """Return body and headers for the newest entry of the node's channel.

    Raise NotFound without node, channel or access to it. Raise ServiceUnavailable or CallRefused
    when ThingSpeak is unavailable and no answer is cached.
    """
    node = nodes.get(node_id)
    if node.channel_id is None:
        raise NotFound(f"Node {node_id!r} has no ThingSpeak channel.")
    cache = service_state().live_answers
    # Changing the node's channel, key or fields invalidates its cached answers.
    key = f"live:{node.id}:{node.updated_at.isoformat()}"
    try:
        cached = cache.answer(key, lambda: fetch_newest(node), (Unavailable, CallRefused))
    except NoAccess as error:
        message = f"ThingSpeak denies access to channel {node.channel_id}: it {error}."
        raise NotFound(message) from error
    except (Unavailable, FetchInProgress) as error:
        raise ServiceUnavailable(NO_ANSWER, retry_after=RETRY_AFTER) from error
    return live_response(cached, cache.ttl)


def fetch_newest(node: Node) -> list[list[Any]]:
    """Return the newest entry's readings as JSON values: [[metric, ISO time, value]]."""
    entry = service_state().thingspeak.newest(node.channel_id or 0, node.channel_key)
    if entry is None:
        return []
    rows, _ = split_readings([entry], node.fields)
    return sorted([row["metric"], row["time"].isoformat(), row["value"]] for row in rows)


def live_response(cached: CachedAnswer, ttl: float) -> LiveResponse:
    """Return body and headers for a cached answer that is fresh for `ttl` seconds."""
    items = [
        {"metric": metric, "time": datetime.fromisoformat(time), "value": value}
        for metric, time, value in cached.value
    ]
    body = {"items": items, "stale": not cached.fresh, "age_seconds": round(cached.age, 1)}
    # Age is RFC 9111's, which obsoletes Warning.
    headers = {"Age": str(int(cached.age)), "Cache-Status": cache_status(cached, ttl)}
    return body, headers


def cache_status(cached: CachedAnswer, ttl: float) -> str:
    """Return the value of Cache-Status (RFC 9211); its ttl is negative for a stale answer."""
    if cached.stored:
        return "evara; fwd=miss; stored"
    seconds_left = int(ttl - cached.age)
    if not cached.fresh:
        seconds_left -= 1
    return f"evara; hit; ttl={seconds_left}"
