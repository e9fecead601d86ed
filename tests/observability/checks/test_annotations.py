"""Texts of alerts that Prometheus cannot expand are problems, before anybody is paged with them."""

from collections.abc import Callable

from observability.checks import annotations
from observability.spec.plan import Plan
from tests.observability.compiler_support import program

TARGET_DOWN = "{{ $labels.job }} at {{ $labels.instance }} has not answered its scrape"
DATABASE_DOWN = "postgres_exporter cannot connect to PostgreSQL"
EXCEPTION = 'About {{ $value | printf \\"%.0f\\" }} requests to'
DELIVERY = (
    '"Alertmanager could not deliver notifications by {{ $labels.integration }} '
    'in the last 5 minutes; somebody may not have been told"'
)
BURST = '{{ $value | printf \\"%.0f\\" }} lines of level error'
LOG_EXCEPTION = '{{ $value | printf \\"%.0f\\" }} unhandled exceptions in the log of'
SILENCE = "The API has logged no request for 10 minutes"
MISTAKES = (
    (TARGET_DOWN, "{{ $labels.jbo }} has not answered its scrape"),
    (DATABASE_DOWN, "PostgreSQL is down: {{ .Names }}"),
    (EXCEPTION, 'About {{ $value | printf \\"%d\\" }} requests to'),
    (DELIVERY, '''"{{ if eq $value -1.0 }}never{{ end }}"'''),
    (BURST, "{{ $value | humanise }} lines"),
)
LOG_MISTAKES = (
    (BURST, "{{ $labels.level }} lines"),
    (LOG_EXCEPTION, '{{ query \\"absent(\\" }} unhandled exceptions in the log of'),
    (SILENCE, "{{ $labels.program }} {{ $labels.route }} has logged no request"),
)


def messages(plan: Plan) -> dict[str, str]:
    """Return the start of each problem's message by the alert that it is about."""
    problems = annotations.check(plan, program("promtool"))
    assert {problem.check for problem in problems} <= {"lint"}
    return {problem.where.rpartition(": ")[2]: problem.message for problem in problems}


def test_texts_that_fail_are_problems(plan_of: Callable[..., Plan]) -> None:
    """A label that is missing, an error, a wrong format and a blank are named with their alert."""
    found = messages(plan_of(MISTAKES[:-1]))
    assert found.keys() == {
        "TargetDown",
        "DatabaseDown",
        "UnhandledException",
        "AlertDeliveryFailing",
    }
    assert found["TargetDown"] == "summary reads the label jbo, which the alert does not have"
    assert "summary cannot be expanded: " in found["DatabaseDown"]
    assert "<error expanding template" in found["DatabaseDown"]
    assert "%!d(float64=" in found["UnhandledException"]
    assert found["AlertDeliveryFailing"] == "summary is blank"


def test_texts_of_log_alerts_are_expanded_too(plan_of: Callable[..., Plan]) -> None:
    """They are Loki's, which nothing else checks; each has the labels that its query leaves."""
    found = messages(plan_of(LOG_MISTAKES))
    assert found.keys() == {"LogErrorBurst", "LogUnhandledException", "LogSilence"}
    assert found["LogErrorBurst"] == "summary reads the label level, which the alert does not have"
    assert "<error expanding template" in found["LogUnhandledException"]
    assert found["LogSilence"] == "summary reads the label route, which the alert does not have"


def test_a_template_that_cannot_be_parsed_is_one_problem(plan_of: Callable[..., Plan]) -> None:
    """promtool loads no rule then, and its message is quoted."""
    [problem] = annotations.check(plan_of(MISTAKES[-1:]), program("promtool"))
    assert 'function "humanise" not defined' in problem.message


def test_prose_that_looks_like_a_failure_is_none(plan_of: Callable[..., Plan]) -> None:
    """Next steps and meanings are literal."""
    step = "      - Is it running? `docker compose ps postgres`.\n"
    prose = ("100 %! and <no value>", "{{ $labels.nothing }}", "{{")
    steps = "".join(f"      - 'Is it {text}?'\n" for text in prose)
    assert messages(plan_of(((step, steps),))) == {}
