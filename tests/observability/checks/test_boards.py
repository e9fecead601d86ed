"""The check `boards`: queries that cannot be answered are named."""

import pytest

from observability.checks import boards
from observability.lib.panels import LOGS, Board, Kind, Panel, Query, Row, Unit
from observability.spec.plan import Plan


def board_that_asks(expr: str, source: str = "prometheus") -> Board:
    """Return a board with one panel of one query."""
    panel = Panel("Orders", "How many.", Kind.LINES, Unit.NUMBER, (Query(expr, ""),), source=source)
    return Board("orders", "Orders", "How many orders there are", (Row("Now", (panel,)),))


def test_the_boards_of_the_catalogue_have_no_problem(plan: Plan) -> None:
    """Every query of every board asks for series and buckets that exist."""
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
def test_a_query_that_cannot_be_answered_is_named(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, expr: str, message: str
) -> None:
    """The problem names the file, the panel and the check."""
    monkeypatch.setattr(boards, "boards", lambda _: (board_that_asks(expr),))
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
    monkeypatch.setattr(boards, "boards", lambda _: (board_that_asks(expr),))
    assert list(boards.check(plan)) == []


def test_queries_to_loki_are_not_parsed_as_promql(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LogQL has a syntax of its own."""
    monkeypatch.setattr(boards, "boards", lambda _: (board_that_asks('{a="b"} | json', LOGS),))
    assert list(boards.check(plan)) == []
