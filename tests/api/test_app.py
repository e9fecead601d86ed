"""The app: its contract, its scopes, and several apps in one process."""

from api.platform.http import contract
from api.platform.state import app_state
from tests.api.conftest import MakeApp
from tests.api.platform.http.test_auth import (  # noqa: F401 - they run here for this app
    anonymous,
    test_every_route_but_health_and_docs_requires_a_key,
    test_route_refuses_keys_of_lower_scope,
    test_scope_of_a_view_matches_its_method,
)


def test_committed_contract_is_the_served_one(make_app: MakeApp) -> None:
    """Byte for byte, so that make generate does not change it."""
    state = app_state(make_app())
    assert state.contract.read_text(encoding="utf-8") == contract.text(state.document)


def test_apps_in_one_process_are_independent(make_app: MakeApp) -> None:
    """The document of an app does not depend on the apps that were created before."""
    document = app_state(make_app()).document
    assert app_state(make_app()).document == document
