"""Properties of a dashboard: uid, links and annotations."""

import json

from tests.observability.generate.dashboards.support import Json


def test_the_uid_is_made_of_service_and_slug(dashboards: dict[str, Json]) -> None:
    """Links outlive every edit of a board."""
    for slug, dashboard in dashboards.items():
        assert dashboard["uid"] == f"evara-api-{slug}"


def test_alerts_are_annotations(dashboards: dict[str, Json]) -> None:
    """The board of an SLO marks when its pages and tickets fired."""
    annotations = dashboards["slo"]["annotations"]["list"]
    exprs = {annotation["name"]: annotation["target"]["expr"] for annotation in annotations}
    assert exprs["Pages"] == (
        'ALERTS{alertstate="firing",environment="",service="evara-api",severity="page",slo="$slo"}'
    )
    assert 'severity="ticket"' in exprs["Tickets"]


def test_traces_are_searched_by_service(dashboards: dict[str, Json]) -> None:
    """Jaeger answers 400 to a search that names no service."""
    url = next(link["url"] for link in dashboards["overview"]["links"] if link["title"] == "Traces")
    panes = json.loads(url.partition("panes=")[2])
    assert panes["t"]["queries"][0]["service"] == "evara-api"
