"""Panels as data."""

from observability.lib.panels import Kind, Panel, Query, Unit


def test_bind_replaces_the_given_variables() -> None:
    """Given variables are replaced wherever they stand; others stay."""
    query = Query('a{slo=~"$slo-x", b="$b"}[$__rate_interval]', "")
    panel = Panel("Title", "", Kind.LINES, Unit.SECONDS, (query,))
    [bound] = panel.bind(slo="s", __rate_interval="1m").queries
    assert bound.expr == 'a{slo=~"s-x", b="$b"}[1m]'
