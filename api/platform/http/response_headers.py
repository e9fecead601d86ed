"""The response headers of the API: documented in OpenAPI, and exposed to pages of other origins."""

from api.platform.telemetry.request_context import REQUEST_ID

RETRY_AFTER = "Retry-After"
LIMIT = "X-RateLimit-Limit"
REMAINING = "X-RateLimit-Remaining"
RESET = "X-RateLimit-Reset"
REPLAYED = "Idempotent-Replayed"
DOCUMENTED = {
    REQUEST_ID: {
        "schema": {"type": "string"},
        "description": (
            "Identifies the request in the logs; a valid id that the caller sends is used"
        ),
    },
    RETRY_AFTER: {"schema": {"type": "integer"}, "description": "Seconds to wait before a retry"},
    LIMIT: {
        "schema": {"type": "integer"},
        "description": "Requests that a caller may send per window",
    },
    REMAINING: {
        "schema": {"type": "integer"},
        "description": "Requests left in this window",
    },
    RESET: {
        "schema": {"type": "integer"},
        "description": "End of the window, in Unix seconds",
    },
}
OF_SOME_ROUTES = ("Deprecation", "ETag", REPLAYED, "Link", "Location", "Sunset")
EXPOSED = ", ".join((*DOCUMENTED, *OF_SOME_ROUTES))
