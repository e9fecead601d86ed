"""The newest values of a node's ThingSpeak channel, fetched during the request or cached."""

from datetime import datetime

from werkzeug.exceptions import NotFound, ServiceUnavailable

from api.models import Node
from api.platform.clock import now
from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.outbound.stale_cache import CachedAnswer, FetchInProgress
from api.platform.types import Headers, JsonObject
from api.services import current, nodes
from api.services.entries import split_readings
from api.services.state import service_state
from api.services.thingspeak import NoAccess, Unavailable

RETRY_AFTER = 5  # seconds
NO_ANSWER = "ThingSpeak is unavailable, and no earlier answer is cached. Try again."
LiveResponse = tuple[JsonObject, Headers]  # body and headers


def newest(node_id: str) -> LiveResponse:
    """Return body and headers for the newest value of each field of the node's channel.

    Raise NotFound without node, channel or access to it. Raise ServiceUnavailable or CallRefused
    when ThingSpeak is unavailable and no answer is cached.
    """
    node = nodes.get(node_id)
    if node.channel_id is None:
        raise NotFound(f"Node {node_id!r} has no ThingSpeak channel.")
    cache = service_state().live_answers
    # Changing the node's channel, key or fields invalidates its cached answers. Earlier releases,
    # which may share the cache, had other answers under live:….
    key = f"recent:{node.id}:{node.updated_at.isoformat()}"
    try:
        cached = cache.answer(key, lambda: fetch_newest(node), (Unavailable, CallRefused))
    except NoAccess as error:
        message = f"ThingSpeak denies access to channel {node.channel_id}: it {error}."
        raise NotFound(message) from error
    except (Unavailable, FetchInProgress) as error:
        raise ServiceUnavailable(NO_ANSWER, retry_after=RETRY_AFTER) from error
    return live_response(cached, cache.ttl)


def fetch_newest(node: Node) -> JsonObject:
    """Return {"items", "rejected"} as JSON values: one per metric, and one per field."""
    end = current.horizon()
    feed = service_state().thingspeak.newest(node.channel_id or 0, node.channel_key, end)
    rows, rejects = split_readings(feed.entries, node.fields)
    row_by_metric: dict[str, JsonObject] = {}
    for row in rows:  # in order of time; of one second the first value counts, as in the database
        known = row_by_metric.get(row["metric"])
        if row["time"] <= end and (known is None or row["time"] > known["time"]):
            row_by_metric[row["metric"]] = row
    reject_by_field = {reject.field: reject for reject in [*feed.rejects, *rejects]}
    return {
        "items": [
            {"metric": metric, "time": row["time"].isoformat(), "value": row["value"]}
            for metric, row in sorted(row_by_metric.items())
        ],
        "rejected": [reject._asdict() for _, reject in sorted(reject_by_field.items())],
    }


def live_response(cached: CachedAnswer, ttl: float) -> LiveResponse:
    """Return body and headers for a cached answer that is fresh for `ttl` seconds."""
    items = []
    for item in cached.value["items"]:
        time = datetime.fromisoformat(item["time"])
        age = max(0.0, (now() - time).total_seconds())
        items.append(item | {"time": time, "age_seconds": round(age, 1)})
    body = {"items": items, "stale": not cached.fresh, "age_seconds": round(cached.age, 1)}
    if cached.value["rejected"]:
        body["rejected"] = cached.value["rejected"]
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
