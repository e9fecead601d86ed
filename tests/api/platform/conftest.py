"""Tests of the platform run the other app, so that they do not depend on the nouns."""

import pytest

from tests.api.conftest import AppKind
from tests.api.platform.other_app import ORDERS_APP


@pytest.fixture
def app_kind() -> AppKind:
    """Return the other app."""
    return ORDERS_APP
