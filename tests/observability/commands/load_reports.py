"""Load reports as `make load` writes them."""

from typing import Any

SIDE = {
    "requests": 1200,
    "failed": 3,
    "rate": 19.987,
    "p50": 0.0012,
    "p90": 0.05,
    "p95": 0.08,
    "p99": 12.5,
}

REPORT: dict[str, Any] = {
    "verdict": "disagree",
    "summary": "Clients and server disagree on 1 number, so neither can be relied on. "
    "For the clients, 1 of 1 objectives are missed.",
    "run": {
        "host": "http://localhost:8000",
        "users": 20,
        "rate": 50.0,
        "time": "60s",
        "seconds": 60.0,
        "started": "2026-11-23T01:20:33+00:00",
    },
    "server": {"missing": ""},
    "findings": [
        {
            "route": "parcels.latest",
            "number": "p95",
            "text": "parcels.latest, p95: [too slow].",
            "meaning": "Requests wait. " * 9,
        }
    ],
    "total": {"route": "all", "clients": SIDE, "server": SIDE},
    "routes": [
        {"route": "parcels.latest", "clients": SIDE, "server": SIDE | {"p95": 1.2}},
        {
            "route": "orders.list",
            "clients": dict.fromkeys(SIDE) | {"requests": 0, "failed": 0, "rate": 0.0},
            "server": None,
        },
    ],
    "errors": [{"what": "orders.list: 500 [boom]", "count": 3}],
    "objectives": [
        {
            "slo": "orders.list-availability",
            "objective": 0.999,
            "measured": 0.9,
            "good": 9,
            "total": 10,
            "verdict": "missed",
        },
        {
            "slo": "orders.get-availability",
            "objective": 0.999,
            "measured": None,
            "good": 0,
            "total": 0,
            "verdict": "idle",
        },
        {
            "slo": "orders.list-latency-200ms",
            "objective": 0.95,
            "measured": 0.875,
            "good": 7,
            "total": 8,
            "events_needed": 20,
            "verdict": "too few",
        },
    ],
    "version": 1,
}
