"""Another app on the platform: orders, with a catalogue, a table and migrations of its own."""

from api.platform.config import PlatformSettings
from tests.api.conftest import AppKind
from tests.api.platform.other_app.app import create_app

ORDERS = AppKind("orders", create_app, PlatformSettings)
