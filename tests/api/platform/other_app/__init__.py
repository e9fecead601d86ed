"""Another app on the platform: orders, with a catalogue, a table and migrations of its own."""

from api.platform.config import PlatformSettings
from observability.spec import loading
from tests.api.conftest import AppKind
from tests.api.platform.other_app.app import CATALOGUE, create_app

ORDERS_APP = AppKind("orders", create_app, PlatformSettings)
PLAN = loading.load_plan(CATALOGUE)
