"""A mapping as JSON and YAML have it: an answer of a server, a report, a configuration."""

from typing import Any

Json = dict[str, Any]
