"""Names of types that many modules use."""

from typing import Any

JsonObject = dict[str, Any]
Headers = dict[str, str]
