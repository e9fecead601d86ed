"""The HTTP API of Loki."""

import time

from observability.lib.query_server import QueryServer


class Loki(QueryServer):
    """The HTTP API of one Loki."""

    name = "Loki"
    api = "/loki/api/v1"

    def query_lines(
        self, query: str, since: float, limit: int = 1000
    ) -> list[tuple[dict[str, str], str]]:
        """Return (labels and structured metadata, line) of every match.

        The span is from `since`, Unix seconds, until now.
        """
        start = f"{int(since)}000000000"  # nanoseconds
        end = f"{time.time() + 1:.0f}000000000"
        data = self._get(
            "query_range",
            query=query,
            limit=str(limit),
            direction="forward",
            start=start,
            end=end,
        )
        streams = data["result"]
        return [(stream["stream"], line) for stream in streams for _, line in stream["values"]]
