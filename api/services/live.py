"""What a node measures right now: its ThingSpeak channel is asked while the caller waits, or the last good answer is given, marked."""

from datetime import datetime
from typing import Any

from flask import Flask, current_app
from werkzeug.exceptions import NotFound, ServiceUnavailable

from api.models import Node
from api.platform.outbound.circuit_breaker import Refused
from api.platform.outbound.redis_client import Shared
from api.platform.outbound.stale_cache import Busy, Cache, Kept
from api.services import nodes
from api.services.thingspeak import NoAccess, Unavailable, thingspeak

RETRY_AFTER = 5  # seconds
AWAY = "ThingSpeak does not answer as it should, and no earlier answer of it is known. Try again."


Live = tuple[dict[str, Any], dict[str, str]]  # body and headers


def init_app(app: Flask, ttl: float, shared: Shared | None) -> None:
    app.extensions["evara_live"] = Cache(ttl, shared)


def newest(node_id: str) -> Live:
    """The newest entry of the node's channel; NotFound without node, channel or access, ServiceUnavailable or Refused without an answer."""
    node = nodes.get(node_id)
    if node.channel_id is None:
        raise NotFound(f"Node {node_id!r} has no ThingSpeak channel.")
    cache: Cache = current_app.extensions["evara_live"]
    key = f"live:{node.id}:{node.updated_at.isoformat()}"  # a node whose channel, key or fields were changed starts anew
    try:
        return answer(cache.answer(key, lambda: ask(node), (Unavailable, Refused)), cache.ttl)
    except NoAccess as error:
        raise NotFound(
            f"ThingSpeak shows nothing of channel {node.channel_id}: it {error}."
        ) from error
    except (Unavailable, Busy) as error:
        raise ServiceUnavailable(AWAY, retry_after=RETRY_AFTER) from error


def ask(node: Node) -> list[list[Any]]:
    """[[metric, time, value]] as JSON knows them."""
    entry = thingspeak().newest(node.channel_id or 0, node.channel_key)
    rows = entry.readings(node.fields) if entry else []
    return sorted([row["metric"], row["time"].isoformat(), row["value"]] for row in rows)


def answer(kept: Kept, ttl: float) -> Live:
    """Age (RFC 9111), and Cache-Status (RFC 9211), whose ttl is negative for a stale answer; Warning is obsolete since RFC 9111."""
    items = [
        {"metric": metric, "time": datetime.fromisoformat(time), "value": value}
        for metric, time, value in kept.value
    ]
    how = (
        "fwd=miss; stored"
        if kept.stored
        else f"hit; ttl={int(ttl - kept.age) if kept.fresh else -int(kept.age - ttl) - 1}"
    )
    body = {"items": items, "stale": not kept.fresh, "age_seconds": round(kept.age, 1)}
    return body, {"Age": str(int(kept.age)), "Cache-Status": f"evara; {how}"}
