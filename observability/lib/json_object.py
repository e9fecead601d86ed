"""A JSON object, such as an answer of a server, a report, or a part of Grafana's model."""

from typing import Any

Json = dict[str, Any]
