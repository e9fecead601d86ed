"""Comparisons of two load reports: new misses, chance, and unreadable folders."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from observability.load import compare
from observability.load.report import build_report
from tests.observability.load.support import FIGURES, PROFILE, locust_report, recording


def test_comparison_lists_newly_missed_objectives() -> None:
    """They were met before."""
    old, new = (
        build_report(PROFILE, locust_report(verdict), recording()) for verdict in ("met", "missed")
    )
    assert [row["slo"] for row in compare.compare_reports(old, new)["broken"]] == [
        "orders.list-availability"
    ]
    assert (
        compare.compare_reports(new, new)["broken"]
        == compare.compare_reports(new, old)["broken"]
        == []
    )
    assert compare.compare_reports(old, old)["unlike"] == []


def test_a_comparison_with_too_few_requests_names_what_is_missed_now() -> None:
    """Too few requests before do not hide a miss, and too few now are a reason to doubt."""
    met, few, missed = (
        build_report(PROFILE, locust_report(verdict), recording())
        for verdict in ("met", "too few", "missed")
    )
    [broken] = compare.compare_reports(few, missed)["broken"]
    assert (broken["slo"], broken["was"]) == ("orders.list-availability", "too few")
    doubt = "Of the objectives that were met, 1 had too few requests now"
    assert compare.compare_reports(met, few)["unsure"].startswith(doubt)
    assert compare.compare_reports(few, met)["unsure"] == ""


def test_a_miss_of_what_was_not_measured_is_listed() -> None:
    """No requests before, or another name: it is missed now and was not before."""
    missed = build_report(PROFILE, locust_report("missed"), recording())
    for objectives in ([], [missed["objectives"][0] | {"verdict": "idle", "measured": None}]):
        old = build_report(PROFILE, locust_report(objectives=objectives), recording())
        comparison = compare.compare_reports(old, missed)
        assert [(row["was"], row["old"]) for row in comparison["broken"]] == [("idle", None)]
        assert "<td>–</td>" in compare.render(old, missed, comparison)


def test_exceptions_of_clients_are_a_reason_to_doubt() -> None:
    """Reports of earlier releases do not have the key."""
    exceptions = [{"what": "KeyError", "count": 3}]
    old = build_report(PROFILE, locust_report(), recording())
    new = build_report(PROFILE, locust_report(exceptions=exceptions), recording())
    del old["exceptions"]
    doubt = "The clients of the new run raised exceptions, so this comparison proves little."
    assert compare.compare_reports(old, new)["unsure"] == doubt


def test_a_comparison_holds_routes_of_either_run() -> None:
    """A route of one run has no figures in the other; runs of different length say so."""
    old = build_report(PROFILE, locust_report(), recording())
    longer = replace(PROFILE, length="20s")
    new = build_report(longer, locust_report(routes=[]), recording())
    comparison = compare.compare_reports(old, new)
    assert [row["route"] for row in comparison["routes"]] == ["all", "orders.list"]
    assert comparison["routes"][1]["new"]["p95"] is None
    assert comparison["unlike"] == ["time was 10s, is 20s"]
    page = compare.render(old, new, comparison)
    assert "No objective got worse" in page
    assert "time was 10s, is 20s" in page


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (100, 100, ""),
        (100, 150, "The new run's verdict is disagree, so this comparison proves little."),
        (None, 100, "The old run's verdict is unknown, so this comparison proves little."),
        (
            150,
            None,
            "The old run's verdict is disagree and the new run's verdict is unknown, "
            "so this comparison proves little.",
        ),
    ],
)
def test_a_comparison_of_doubtful_runs_is_not_green(
    before: int | None, after: int | None, sentence: str
) -> None:
    """The page shows a warning when either run's verdict is disagree or unknown."""
    old, new = (
        build_report(PROFILE, locust_report(), recording(requests)) for requests in (before, after)
    )
    comparison = compare.compare_reports(old, new)
    assert comparison["unsure"] == sentence
    page = compare.render(old, new, comparison)
    assert f'<header class="verdict {"unknown" if sentence else "met"}">' in page
    assert ("proves little" in page) == bool(sentence)


def test_changes_of_few_requests_are_faint() -> None:
    """A change of fewer than a hundred requests is in brackets, faint, and explained once."""
    new = build_report(PROFILE, locust_report(), recording())
    few = locust_report(
        routes=[locust_report()["routes"][0] | {"clients": FIGURES | {"requests": 99, "p95": 0.06}}]
    )
    old = build_report(PROFILE, few, recording())
    for one, other in ((old, new), (new, old)):
        comparison = compare.compare_reports(one, other)
        assert [(row["route"], row["few"]) for row in comparison["routes"]] == [
            ("all", False),
            ("orders.list", True),
        ]
    page = compare.render(new, old, comparison)
    assert "<td>(+100 %)</td>" in page
    assert page.count("fewer than 100 requests in one of the runs") == 1
    assert page.count('<tr class="strong">') == 1
    assert "<td>99</td>" in page
    plain = compare.render(new, new, compare.compare_reports(new, new))
    assert "fewer than" not in plain


@pytest.mark.parametrize(
    ("figure", "old", "new", "text"),
    [
        ("p95", 0.1, 0.15, "+50 %"),
        ("rate", 10, 9, "-10 %"),
        ("failing", 0.0, 0.012, "+1.2 pt"),
        ("p95", None, 1, "–"),
        ("rate", 0, 1, "–"),
    ],
)
def test_changes_are_formatted(
    figure: str, old: float | None, new: float | None, text: str
) -> None:
    """Per cent of the old value, points for shares, a dash without a value."""
    assert compare.describe_change(figure, old, new) == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "is no report of version 1"),
        ('{"version": 9}', "is no report of version 1"),
    ],
)
def test_a_folder_without_a_report_is_named(
    tmp_path: Path, content: str | None, words: str
) -> None:
    """The message has the path and what to do."""
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(compare.NoReport, match=re.escape(str(tmp_path))) as caught:
        compare.read_report(tmp_path)
    assert words in str(caught.value)
    with pytest.raises(compare.NoReport, match="name a folder that `make load` printed"):
        compare.read_report(tmp_path / "none")
