"""The dashboards of the fixed service as Grafana loads them."""

import json

import pytest

from observability.generate.dashboards.grafana import files
from observability.spec.plan import Plan
from tests.observability.generate.dashboards.support import Json


@pytest.fixture(scope="session")
def dashboards(plan: Plan) -> dict[str, Json]:
    """Return the dashboards by slug."""
    texts = files.render(plan)
    return {
        path.split("/")[-1].removesuffix(".json"): json.loads(text)
        for path, text in texts.items()
        if path.endswith(".json")
    }
