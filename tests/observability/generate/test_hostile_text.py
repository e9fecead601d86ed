"""Text of the catalogue arrives literally in every output, whatever marks it contains."""

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from observability.checks import annotations
from observability.generate import alertmanager, loki, prometheus, promtool_tests, registry
from observability.generate.dashboards.grafana import files as dashboards
from observability.generate.runbook import pages
from observability.lib import escaping
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import SERVICE, openapi_for, program

HOSTILE = (
    r"""`docker ps --format '{{.Names}}' | grep "$X" <pod> *`: is <pod> *up* | _down_ ~~x~~ """
    r"""[a](b) ![i](/x) $HOME ${HOME} [[slo]] {{ $labels.job }} {{ end }} {{/* c */}} && &lt; """
    r"""\ \n %d <<SLO>> %(x)s {0} # x © </td></script> <!-- ` odd"""
)
TEXTS = (
    HOSTILE,
    f"- {HOSTILE}",
    f"# {HOSTILE}",
    f"1. {HOSTILE}",
    f"=== {HOSTILE}",
    "*a*",
    "a_b_c _d_",
)
RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What Grafana takes for a variable, from packages/grafana-data of its sources
VARIABLE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
TAG = re.compile(r"<[^>]+>")
# Keys of the catalogue and the policy that hold prose
PROSE = ("next_steps", "meaning", "impact", "text")


def with_hostile_text(node: Any, section: str = "") -> Any:
    """Return a document whose every prose is hostile."""
    if isinstance(node, list):
        return [with_hostile_text(part, section) for part in node]
    if not isinstance(node, dict):
        return node
    changed = {}
    for key, value in node.items():
        is_prose = key in PROSE and section != "logs"
        is_prose |= key in ("next_steps", "meaning", "impact")
        if not is_prose:
            inner = key if key in ("logs", "watch", "metrics") else section
            changed[key] = with_hostile_text(value, inner)
        elif isinstance(value, list):
            changed[key] = list(TEXTS)
        else:
            changed[key] = HOSTILE
    return changed


@pytest.fixture
def hostile(plan_of: Callable[..., Plan]) -> Plan:
    """Return the plan of the fixed service with hostile prose everywhere."""
    catalogue = yaml.safe_load(SERVICE.read_text(encoding="utf-8"))
    return plan_of(yaml.safe_dump(with_hostile_text(catalogue), allow_unicode=True, width=60))


def text_of(rendered: str) -> str:
    """Return the text that a browser shows of HTML."""
    return html.unescape(TAG.sub("", rendered)).strip()


@pytest.mark.parametrize("text", TEXTS)
def test_markdown_and_html_show_the_text(text: str) -> None:
    """A line, a step of a list and a cell of a table; code is code in each."""
    shown = text_of(escaping.html(text))
    line = RENDERER.render(f"{escaping.markdown(text)}\n")
    step = RENDERER.render(f"1. {escaping.markdown(text)}\n2. next\n")
    table = f"| a | b |\n|---|---|\n| {escaping.markdown_cell(text)} | last |\n"
    cells = re.findall(r"<td>(.*?)</td>", RENDERER.render(table))
    assert text_of(line) == shown
    assert text_of(step) == f"{shown}\n\nnext".replace("\n\n", "\n")
    assert [text_of(cell) for cell in cells] == [shown, "last"]
    assert line.count("<code>") == step.count("<code>") == escaping.html(text).count("<code>")
    assert shown.replace("`", "") == text.replace("`", "")


@pytest.mark.parametrize("text", TEXTS)
def test_grafana_shows_the_text_and_replaces_no_variable(text: str) -> None:
    """A panel's description is Markdown, in which Grafana first replaces variables."""
    description = escaping.grafana(text)
    assert not VARIABLE.search(description)
    assert text_of(RENDERER.render(description)) == text_of(escaping.html(text))


def alerts(plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield name and annotations of each alert of a plan, as Prometheus expands them."""
    outputs = annotations.run_all_cases(plan, program("promtool"))
    for (name, _), raised in annotations.alerts_by_identity(outputs).items():
        for _, texts in raised:
            yield name, texts


def test_annotations_show_the_text(hostile: Plan) -> None:
    """SLOs, watched symptoms and log lines: Prometheus expands no template of the catalogue."""
    steps = " ".join(f"{number}. {text}" for number, text in enumerate(TEXTS, 1))
    declared = [alert.name for alert in (*hostile.symptoms, *hostile.log_alerts)]
    raised = list(alerts(hostile))
    assert {name for name, _ in raised} >= {names.BURN_ALERT, *declared}
    for name, texts in raised:
        if name in (names.BURN_ALERT, *declared):
            assert texts[names.NEXT_STEPS] == steps
        if name in declared:
            assert texts["description"].startswith(f"{HOSTILE} Users notice: {HOSTILE}")
    assert annotations.check(hostile, program("promtool")) == []


def test_the_runbook_shows_the_text(hostile: Plan) -> None:
    """No page loses a step, a row of the index, or a word of them."""
    files = pages.render(hostile)
    shown = [text_of(escaping.html(text)) for text in TEXTS]
    for alert in (*hostile.symptoms, *hostile.log_alerts):
        page = text_of(RENDERER.render(files[f"runbook/{alert.name}.md"]))
        for text in shown:
            assert text in page, alert.name
        assert RENDERER.render(files[f"runbook/{alert.name}.md"]).count("<pre>") >= 2
    index = RENDERER.render(files["runbook.md"])
    rows = re.findall(r"<tr>\n(.*?)</tr>", index, re.DOTALL)
    assert {row.count("<td>") for row in rows if "<td>" in row} == {3, 4}
    assert index.count(html.escape("</td></script>")) == len(hostile.symptoms + hostile.log_alerts)


def test_every_output_is_accepted(
    hostile: Plan, tmp_path: Path, promtool: Callable[..., Any], amtool: Callable[..., Any]
) -> None:
    """promtool, amtool, a YAML and a JSON parser read every generated file."""
    files = registry.render(hostile, openapi_for(hostile))
    for path, text in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        if path.suffix == ".json":
            json.loads(text)
        if path.suffix == ".yaml":
            list(yaml.safe_load_all(text))
    folder = tmp_path / registry.GENERATED
    results = [
        promtool("check", "rules", folder / prometheus.RULES),
        promtool("test", "rules", folder / promtool_tests.FOLDER / "others.yaml"),
        amtool("check-config", folder / alertmanager.CONFIG),
    ]
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert yaml.safe_load(files[registry.GENERATED / loki.RULES])["groups"]


def test_panels_of_the_service_show_the_text(hostile: Plan) -> None:
    """The descriptions of the service's own metrics are those of the catalogue."""
    boards = [
        json.loads(t)
        for p, t in dashboards.render(hostile).items()
        if "dashboards/" in p and p.endswith(".json")
    ]
    own = {metric.panel.title for metric in hostile.metrics.values()}
    descriptions = [p["description"] for b in boards for p in b["panels"] if p["title"] in own]
    assert len(descriptions) == len(own)
    for description in descriptions:
        assert text_of(RENDERER.render(description)) == text_of(escaping.html(HOSTILE))
