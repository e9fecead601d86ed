"""The check `boards`: queries that can have no answer."""

import pytest

from observability.checks import boards
from observability.lib.panels import LOGS, Board, Kind, Panel, Query, Row, Unit
from observability.spec.plan import Plan


def board_with_query(expr: str, source: str = "prometheus") -> Board:
    """Return a board with one panel of one query."""
    panel = Panel("Orders", "How many.", Kind.LINES, Unit.NUMBER, (Query(expr, ""),), source=source)
    return Board("orders", "Orders", "How many orders there are", (Row("Now", (panel,)),))


def test_boards_of_the_catalogue_have_no_problem(plan: Plan) -> None:
    """Each query reads series and buckets that exist."""
    assert list(boards.check(plan)) == []


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("sum(", "is not PromQL"),
        ("sum(evara_http_requests)", "asks for evara_http_requests, which nothing exposes"),
        (
            'evara_http_request_duration_seconds_bucket{le="0.21"}',
            "asks for the bucket le=0.21, which no histogram has",
        ),
    ],
)
def test_query_of_unknown_series_is_a_problem(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, expr: str, message: str
) -> None:
    """It names the file, the panel and the check."""
    monkeypatch.setattr(boards, "boards", lambda _: (board_with_query(expr),))
    [problem] = boards.check(plan)
    file = "observability/generated/grafana/dashboards/orders.json"
    assert problem.where == f"{file}: panel 'Orders'"
    assert message in problem.message
    assert problem.check == "boards"


@pytest.mark.parametrize("expr", ['up{job="$route"}', "rate(up[$__rate_interval])"])
def test_variables_are_replaced_before_a_query_is_parsed(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, expr: str
) -> None:
    """A window that is a variable is not PromQL."""
    monkeypatch.setattr(boards, "boards", lambda _: (board_with_query(expr),))
    assert list(boards.check(plan)) == []


def test_queries_to_loki_are_not_parsed_as_promql(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LogQL has a syntax of its own."""
    monkeypatch.setattr(boards, "boards", lambda _: (board_with_query('{a="b"} | json', LOGS),))
    assert list(boards.check(plan)) == []
