"""The delays before a failed job is attempted again."""

from api.platform.state import app_state

MAX_RETRY_DELAY = 600.0  # seconds


def retry_delay(attempts: int) -> float:
    """Return the seconds to wait after so many failed attempts: doubling, up to MAX_RETRY_DELAY."""
    delay = app_state().settings.retry_seconds * 2.0 ** (attempts - 1)
    return min(delay, MAX_RETRY_DELAY)


def retry_delay_after(error: Exception, attempts: int) -> float:
    """Return the seconds to wait after so many failed attempts, of which the last one raised this.

    `retry_after` of the error, from a host or an open breaker, extends it up to MAX_RETRY_DELAY.
    """
    requested = getattr(error, "retry_after", None) or 0.0
    return max(retry_delay(attempts), min(requested, MAX_RETRY_DELAY))
