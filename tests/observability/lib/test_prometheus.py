"""Tests of the client of Prometheus, and of reading metrics pages."""

import pytest

from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus, scrape_metric


def test_another_server_is_unreachable(stranger: str) -> None:
    """Text instead of JSON is not an answer of Prometheus."""
    with pytest.raises(Unreachable, match=stranger):
        Prometheus(stranger).query("up")


def test_an_unreachable_server_names_the_fix(nobody: str) -> None:
    """The message says how to start the stack."""
    with pytest.raises(Unreachable, match="make up"):
        Prometheus(nobody).alerts()


def test_a_metric_is_summed_by_a_label(stranger: str) -> None:
    """Series that differ in other labels are added up."""
    assert scrape_metric(stranger, "asked", "route") == {"a": 4, "b": 2}


def test_a_metrics_page_that_is_gone_is_unreachable(nobody: str) -> None:
    """The message names the page."""
    with pytest.raises(Unreachable, match=f"{nobody}/metrics does not answer"):
        scrape_metric(nobody, "asked", "route")
