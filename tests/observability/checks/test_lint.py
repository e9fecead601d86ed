"""Lint: every broken rule gives exactly its problem; the servers' own tools are run."""

import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from observability.checks import lint
from observability.devstack.layout import servers_folder
from observability.devstack.packages import search_path
from observability.generate import alertmanager, prometheus, registry
from observability.spec.plan import Plan

KNOWN = frozenset({"known", "seconds_bucket"})
EDGES = frozenset({Decimal("0.2"), Decimal(1), Decimal("2.5")})
RULE = {
    "alert": "X",
    "expr": "up",
    "labels": {"severity": "page", "owner": "o"},
    "annotations": {"summary": "s", "next_steps": "1."},
}


def test_the_real_rules_keep_the_house_rules(plan: Plan) -> None:
    """Nothing to mend in this tree."""
    assert lint.check(plan, registry.ROOT) == []


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("rate(known[5m]) +", "is not PromQL"),
        ("sum(rate(unknwon[5m]))", "asks for unknwon, which nothing exposes or records"),
        ("known / on (a) group_left (b) (known > bool other)", "asks for other, which"),
        ("topk(1, other)", "asks for other, which"),
        ("max_over_time(rate(other[1m])[5m:1m])", "asks for other, which"),
        ("-(other)", "asks for other, which"),
        ('seconds_bucket{le="0.3"}', "asks for the bucket le=0.3, which no histogram has"),
        ('seconds_bucket{le=~"0.3|0.4"}', "asks for the bucket le=0.3|0.4, which no histogram has"),
        ('seconds_bucket{le="1"}', "asks for the bucket le=1, which no histogram has"),
        ('seconds_bucket{le="0x2"}', "asks for the bucket le=0x2, which no histogram has"),
    ],
)
def test_an_expression_that_can_never_fire_is_a_problem(expr: str, message: str) -> None:
    """Wherever in the tree it stands, an unknown series or edge is named, once."""
    problems = list(lint.expression(expr, KNOWN, EDGES))
    assert len(problems) == 1
    assert message in problems[0][0]
    assert problems[0][1]


@pytest.mark.parametrize(
    "expr",
    [
        'seconds_bucket{le="0.2"}',
        'seconds_bucket{le=~"1|1[.]0"}',
        'seconds_bucket{le="+Inf"}',
        "1 + known",
    ],
)
def test_an_expression_about_real_series_is_fine(expr: str) -> None:
    """Edges in both spellings, and the one that every histogram has."""
    assert list(lint.expression(expr, KNOWN, EDGES)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"owner": "o"}}, "has no severity that the policy knows"),
        ({"labels": {"severity": "loud", "owner": "o"}}, "has no severity that the policy knows"),
        ({"labels": {"severity": "page"}}, "has no owner"),
        ({"annotations": {"next_steps": "1."}}, "has no summary"),
        ({"annotations": {"summary": "s", "next_steps": ""}}, "has no next_steps"),
    ],
)
def test_an_alert_owes_its_reader_something(
    change: dict[str, Any], message: str, plan: Plan
) -> None:
    """Severity, owner, summary and next steps; each is missed alone."""
    assert list(lint.alert(RULE, plan)) == []
    assert [text for text, _ in lint.alert(RULE | change, plan)] == [message]


def test_rules_that_go_stale_between_evaluations_are_a_problem(
    plan_of: Callable[..., Plan],
) -> None:
    """A group evaluated every five minutes has no value most of the time."""
    made = plan_of((), (("  long: 2m", "  long: 5m"),))
    problems = lint.check(made, registry.ROOT)
    assert problems
    assert {p.message for p in problems} == {"is evaluated every 5m, after which series are stale"}
    assert {p.check for p in problems} == {"lint"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "global: {scrape_interval: 10s, evaluation_interval: 5s}",
            "is 10s, the policy's clock says 5s",
        ),
        ("global: {scrape_interval: 5s}", "is missing, the policy's clock says 5s"),
    ],
)
def test_a_prometheus_on_another_clock_is_a_problem(
    text: str, message: str, plan: Plan, tmp_path: Path
) -> None:
    """The hand-written configuration and the policy say the same."""
    path = tmp_path / lint.PROMETHEUS_CONFIG
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert [p.message for p in lint.check(plan, tmp_path)] == [message]


def test_a_watched_symptom_is_linted_with_the_rest(plan_of: Callable[..., Plan]) -> None:
    """A misspelt metric in the catalogue is found, and the place says which alert it is."""
    made = plan_of((("expr: up == 0", "expr: upp == 0"),))
    [problem] = lint.check(made, registry.ROOT)
    assert problem.where.endswith("rules.yaml: TargetDown")
    assert problem.message == "asks for upp, which nothing exposes or records"


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        (
            'sum by (program) (count_over_time({service="a", level=~"x|y"} |= "{job=" [5m])) > 0',
            ["service", "level"],
        ),
        ('absent_over_time({service!="a\\"}{"} [5m])', ["service"]),
        ('{a="1"} |= `{b="2"}` or {c!~"3"}', ["a", "c"]),
    ],
)
def test_labels_are_read_from_selectors_alone(expr: str, labels: list[str]) -> None:
    """Texts that are looked for may hold braces and signs of equality."""
    assert lint.stream_labels(expr) == labels


def test_a_log_alert_about_a_label_that_no_line_has_is_a_problem(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipper's labels are the only ones, and the problem names them."""
    monkeypatch.setattr(lint, "LOG_LABELS", ("service", "level"))
    problems = lint.check(plan, registry.ROOT)
    assert {p.message for p in problems} == {"asks for the label program, which no line has"}
    assert {p.where for p in problems} == {
        f"{registry.GENERATED}/loki/rules.yaml: {alert.name}" for alert in plan.log_alerts
    }
    assert {p.fix for p in problems} == {"use one of: service, level"}


def test_a_log_alert_owes_its_reader_the_same(plan_of: Callable[..., Plan]) -> None:
    """Without a summary nobody knows what it is about."""
    made = plan_of(
        (
            (
                "    more_than: 0\n    severity: ticket\n    summary: ",
                '    more_than: 0\n    severity: ticket\n    summary: "" # ',
            ),
        )
    )
    assert [(p.where, p.message) for p in lint.check(made, registry.ROOT)] == [
        (f"{registry.GENERATED}/loki/rules.yaml: LogUnhandledException", "has no summary")
    ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the committed files that the tools read, without the cases that take long."""
    for path in (prometheus.RULES, alertmanager.CONFIG):
        (tmp_path / registry.GENERATED / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(registry.ROOT / registry.GENERATED / path, tmp_path / registry.GENERATED / path)
    return tmp_path


def test_promtools_words_are_in_the_problem(tree: Path) -> None:
    """A rule file broken by hand is refused, in promtool's own words."""
    path = tree / registry.GENERATED / prometheus.RULES
    path.write_text(
        path.read_text(encoding="utf-8").replace("clamp_max(", "clamp_most(", 1), encoding="utf-8"
    )
    problems, missing = lint.tools(tree, search_path(servers_folder()))
    assert missing == []
    assert [p.where for p in problems] == [f"{registry.GENERATED}/{prometheus.RULES}"]
    assert "promtool says" in problems[0].message
    assert "clamp_most" in problems[0].message


def test_amtools_words_are_in_the_problem(tree: Path) -> None:
    """A route to nobody is refused, in amtool's own words."""
    path = tree / registry.GENERATED / alertmanager.CONFIG
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            "receiver: upstream-ticket", "receiver: nobody", 1
        ),
        encoding="utf-8",
    )
    problems, _ = lint.tools(tree, search_path(servers_folder()))
    assert [p.where for p in problems] == [f"{registry.GENERATED}/{alertmanager.CONFIG}"]
    assert "nobody" in problems[0].message


def test_missing_tools_are_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be asked is not passed over."""
    monkeypatch.setenv("PATH", str(tree))
    assert lint.tools(tree, os.pathsep.join([str(tree), "/nowhere"])) == (
        [],
        ["promtool", "amtool"],
    )


@pytest.mark.parametrize(("code", "problems"), [(0, 0), (1, 1)])
def test_loki_is_heard_where_there_is_one(code: int, problems: int, tree: Path) -> None:
    """Loki checks the generated configuration; the problem holds its output."""
    program = tree / "loki"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n', encoding="utf-8")
    program.chmod(0o755)
    found, _ = lint.tools(tree, search_path(servers_folder()), program)
    assert [p.where for p in found] == [f"{registry.GENERATED}/loki/loki.yaml"] * problems
    assert all("loki says: -verify-config -config.expand-env=true" in p.message for p in found)


def test_the_servers_accept_everything_that_is_generated(tmp_path: Path) -> None:
    """promtool and amtool accept the committed files; only one tier's cases run here."""
    others = shutil.ignore_patterns("T[1-9].yaml", "others.yaml", "healthy.yaml")
    shutil.copytree(
        registry.ROOT / registry.GENERATED, tmp_path / registry.GENERATED, ignore=others
    )
    assert lint.tools(tmp_path, search_path(servers_folder())) == ([], [])
