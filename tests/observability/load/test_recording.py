"""The recording of the server's side: it continues without Prometheus, with the reason."""

import pytest

from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.load import impact, recording, scrapes, server_counts
from observability.load.recording import Recording
from observability.spec.plan import Plan
from tests.observability.load.support import FakePrometheus, increase

BEFORE = {"api": 995.0}
AFTER = {"api": 1015.0}


def refuse(*_: object) -> None:
    """Raise what an unreachable Prometheus raises."""
    raise Unreachable("Prometheus does not answer")


@pytest.fixture
def prometheus(monkeypatch: pytest.MonkeyPatch) -> Prometheus:
    """Return a Prometheus that counted a run of one route."""
    monkeypatch.setattr(scrapes, "wait_for_scrapes", lambda *_: AFTER)
    monkeypatch.setattr(server_counts, "measure_increase", lambda *_: increase())
    monkeypatch.setattr(impact, "measure_impact", lambda *_: {"alerts": []})
    monkeypatch.setattr(recording, "draw_panels", lambda *_: iter([{"title": "Rate"}]))
    return FakePrometheus()


def test_recording_holds_increases_impact_and_charts(prometheus: Prometheus, plan: Plan) -> None:
    """Counts, impact and pictures of the run."""
    record = Recording()
    assert record.start(prometheus, plan) == AFTER
    record.finish(prometheus, plan, BEFORE)
    assert record.increase == increase()
    assert record.impact == {"alerts": []}
    assert record.pictures == [{"title": "Rate"}]
    assert record.unreachable == ""


def test_nothing_is_recorded_without_a_first_scrape(
    monkeypatch: pytest.MonkeyPatch, prometheus: Prometheus, plan: Plan
) -> None:
    """The run continues, and the report has the reason."""
    monkeypatch.setattr(scrapes, "wait_for_scrapes", refuse)
    record = Recording()
    assert record.start(prometheus, plan) is None
    assert record.unreachable == "Prometheus does not answer"


def test_counts_survive_a_prometheus_that_goes_away(
    monkeypatch: pytest.MonkeyPatch, prometheus: Prometheus, plan: Plan
) -> None:
    """The counts stay, with the reason why the rest is missing."""
    monkeypatch.setattr(impact, "measure_impact", refuse)
    record = Recording()
    record.finish(prometheus, plan, BEFORE)
    assert record.increase == increase()
    assert record.pictures == []
    assert record.unreachable == "Prometheus does not answer"
