"""The route that drills break."""

from typing import NamedTuple


class DrillRoute(NamedTuple):
    """The route that drills break, its path with all parameters, and settings of their API."""

    id: str
    path: str
    environment: dict[str, str]
