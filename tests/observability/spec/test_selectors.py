"""Selectors of the catalogue, and series that they select."""

import pytest

from observability.spec.selectors import Series, example, is_selector, parse_expression


@pytest.mark.parametrize(
    ("selector", "other_than", "labels"),
    [
        ("a_total", "", {}),
        ('a_total{kind="batch"}', "", {"kind": "batch"}),
        ('a_total{code=~"5..|4.."}', "", {"code": "500"}),
        (r'a_total{code=~"[45]\\d\\d", path!=""}', "", {"code": "400", "path": "other"}),
        ('a_total{path=~"/v1/.+"}', "", {"path": "/v1/0"}),
        ("a_total", 'a_total{code=~"5.."}', {}),
        ('a_total{code!=""}', 'a_total{code!="200"}', {"code": "200"}),
        ('a_total{code=~"200|500"}', 'a_total{code=~"5.."}', {"code": "200"}),
        ("a_total", 'b_total{code="500"}', {}),
    ],
)
def test_example_is_selected_by_one_and_not_by_the_other(
    selector: str, other_than: str, labels: dict[str, str]
) -> None:
    """Literal texts and simple regular expressions are found."""
    assert example(selector, other_than) == Series("a_total", labels)


@pytest.mark.parametrize(
    ("selector", "other_than"),
    [
        ("a_total", "a_total"),
        ('a_total{code="500"}', 'a_total{code=~"5.."}'),
        (r'a_total{code=~"\\pN+"}', ""),
        ('a_total{code="1", code="2"}', ""),
    ],
)
def test_no_example_is_an_error(selector: str, other_than: str) -> None:
    """Nothing is selected by one alone, or the regular expression is not simple."""
    with pytest.raises(ValueError, match="no series of"):
        example(selector, other_than)


@pytest.mark.parametrize(
    "text", ["1", "a[5m]", "rate(a[5m])", 'a{x="1" or y="2"}', "{x='1'}", "a @ 5", "a +", "", "a b"]
)
def test_other_texts_are_no_selector(text: str) -> None:
    """A counter is one metric, perhaps with labels."""
    assert not is_selector(text)


@pytest.mark.parametrize(
    "text", ["1", "a[5m]", '"a"', "time()", "scalar(a)", "a) or (b", "max(", ""]
)
def test_other_texts_have_no_value_per_series(text: str) -> None:
    """A gauge has one value per series."""
    with pytest.raises(ValueError, match="is no PromQL with one value per series"):
        parse_expression(text)
