"""The HTTP API of Loki."""

import time

from observability.lib.http import Server


class Loki(Server):
    """The HTTP API of one Loki."""

    name, api = "Loki", "/loki/api/v1"

    def lines(
        self, query: str, since: float, limit: int = 1000
    ) -> list[tuple[dict[str, str], str]]:
        """(labels and structured metadata, line) of everything that matches from `since`, Unix seconds, until now."""
        span = {"start": f"{int(since)}000000000", "end": f"{time.time() + 1:.0f}000000000"}
        data = self._get(
            f"{self.api}/query_range", query=query, limit=str(limit), direction="forward", **span
        )
        return [
            (stream["stream"], line) for stream in data["result"] for _, line in stream["values"]
        ]
