"""The delays before a failed job is attempted again."""

from api.platform.state import app_state

MAX_RETRY_DELAY = 600.0  # seconds


def retry_delay(attempts: int, error: Exception | None = None) -> float:
    """Return the seconds to wait after so many failed attempts, of which the last raised `error`.

    They double with each attempt. `retry_after` of the error, from a host or an open breaker,
    extends them. MAX_RETRY_DELAY is the upper limit of both.
    """
    doubled = app_state().settings.retry_seconds * 2.0 ** (attempts - 1)
    requested = getattr(error, "retry_after", None) or 0.0
    return min(max(doubled, requested), MAX_RETRY_DELAY)
