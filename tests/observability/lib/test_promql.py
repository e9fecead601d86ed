"""Selectors, bucket edges and labels as PromQL text that parses back to the same value."""

import re
from decimal import Decimal

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.lib.promql import by_slo, edge, labelled, quote, selector


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))))
def test_any_text_survives_quoting(text: str) -> None:
    """A quoted text is parsed back to itself."""
    assert promql_parser.parse(quote(text)).val == text


def test_a_selector_compares_or_matches() -> None:
    """A leading ~ makes a regular expression; no labels, no braces."""
    assert selector("m", a="x", b="~y|z") == 'm{a="x", b=~"y|z"}'
    assert selector("m") == "m"


@pytest.mark.parametrize(
    ("seconds", "matching", "other"),
    [
        ("0.2", ["0.2"], ["0.20", "0x2"]),
        ("1", ["1", "1.0"], ["1x0", "10", "11", "1.5"]),
        ("10", ["10", "10.0"], ["1", "100"]),
    ],
)
def test_an_edge_is_found_in_every_spelling(
    seconds: str, matching: list[str], other: list[str]
) -> None:
    """Prometheus 2 keeps le="1", Prometheus 3 stores le="1.0"; no other value matches."""
    value = edge(Decimal(seconds))
    for text, wanted in [*((t, True) for t in matching), *((t, False) for t in other)]:
        found = bool(re.fullmatch(value[1:], text)) if value.startswith("~") else value == text
        assert found is wanted, text


def test_sums_are_named_by_slo() -> None:
    """The SLO's name is subject and suffix; the instance is kept, so that resets stay visible."""
    text = by_slo("m", "route", "-availability")
    assert (
        text
        == 'sum by (slo, instance) (label_replace(m, "slo", "$1-availability", "route", "(.+)"))'
    )
    assert by_slo("m", "r", "", keep=()).startswith("sum by (slo) (")


def test_labels_parse() -> None:
    """A dollar in a label is a dollar, not a group."""
    assert labelled("m", {"a": "$5"}) == 'label_replace(m, "a", "$$5", "", "")'
