"""The delays between attempts."""

import pytest

from api.platform.jobs.retries import MAX_RETRY_DELAY, retry_delay
from api.platform.outbound.circuit_breaker import BreakerOpen, CallError
from api.platform.state import app_state
from tests.api.conftest import MakeApp


class HostError(CallError):
    """A failed call with the Retry-After of the response, if it has one."""

    def __init__(self, retry_after: float | None = None):
        super().__init__("failed")
        self.retry_after = retry_after


def test_delays_double_up_to_ten_minutes(make_app: MakeApp) -> None:
    """With the default settings, 37 minutes pass from the first to the last attempt."""
    app = make_app()
    with app.app_context():
        attempts = app_state(app).settings.webhook_attempts
        delays = [retry_delay(attempt) for attempt in range(1, attempts)]
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert 37 * 60 <= sum(delays) < 38 * 60


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (BreakerOpen(12.0), 12.0),
        (HostError(86_400), MAX_RETRY_DELAY),
        (HostError(), 2.0),
        (ValueError(), 2.0),
    ],
)
def test_error_may_extend_the_delay(make_app: MakeApp, error: Exception, seconds: float) -> None:
    """Retry-After and an open breaker do, up to the longest delay."""
    with make_app().app_context():
        assert retry_delay(1, error) == seconds
