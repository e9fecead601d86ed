"""The deadline of a request or job."""

import math

import pytest

from api.platform.outbound.deadlines import deadline, seconds_left
from tests.api.conftest import MakeApp


def test_inner_deadline_never_extends_the_outer_one() -> None:
    """The earlier deadline applies; each ends with its block."""
    with deadline(10), deadline(60):
        assert seconds_left() <= 10
    with deadline(60):
        with deadline(10):
            assert seconds_left() <= 10
        assert 10 < seconds_left() <= 60
    assert seconds_left() == math.inf


def test_deadline_ends_with_its_block_after_an_exception() -> None:
    """Code after the block has no deadline."""
    with pytest.raises(ValueError, match="x"), deadline(10):
        raise ValueError("x")
    assert seconds_left() == math.inf


def test_every_request_has_a_deadline(make_app: MakeApp) -> None:
    """It begins with the request and ends with it."""
    app = make_app(request_deadline=7)
    with app.test_request_context("/"):
        app.preprocess_request()
        assert 0 < seconds_left() <= 7
    assert seconds_left() == float("inf")
