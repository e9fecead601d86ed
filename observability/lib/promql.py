"""Builders of PromQL and LogQL text: selectors, rates, sums per SLO."""

from collections.abc import Iterable
from decimal import Decimal

from observability.lib.templates import fill
from observability.spec import names
from observability.spec.plan import SHORT_WINDOW
from observability.spec.quantities import format_decimal

RATE_INTERVAL = "$__rate_interval"  # Grafana's window that suits the resolution of a graph
BY_SLO = (
    "<<aggregation>> by (<<grouping>>) "
    '(label_replace(<<expr>>, "<<SLO>>", "$1<<suffix>>", "<<label>>", "(.+)"))'
)


def quote(text: str) -> str:
    """Return a PromQL string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def selector(metric: str, **labels: str) -> str:
    """Return `metric{label="value"}`; a value that starts with `~` is a regular expression."""
    matchers = (matcher(label, value) for label, value in labels.items())
    return f"{metric}{{{', '.join(matchers)}}}" if labels else metric


def one_of(texts: Iterable[str]) -> str:
    """Return a value for `selector` that matches exactly these texts.

    Prometheus looks up such alternatives one by one, if nothing in them is more than escaped.
    """
    return "~" + "|".join(map(escape_regex, texts))


def escape_regex(text: str) -> str:
    """Return a regular expression that matches exactly this id or word."""
    return text.replace(".", r"\.")


def one_match(labels: dict[str, str]) -> dict[str, str]:
    """Return labels that these matchers select; of several texts, the first."""
    texts = {label: value.removeprefix("~").split("|")[0] for label, value in labels.items()}
    return {label: text.replace(r"\.", ".") for label, text in texts.items() if text}


def matcher(label: str, value: str) -> str:
    """Return `label="value"`; a value that starts with `~` is a regular expression."""
    if value.startswith("~"):
        return f"{label}=~{quote(value[1:])}"
    return f"{label}={quote(value)}"


def edge(seconds: Decimal) -> str:
    """Return a bucket's `le`, whole numbers in both spellings.

    Prometheus 2 keeps "1", Prometheus 3 stores "1.0".
    """
    whole = seconds == int(seconds)
    if not whole:
        return f"{seconds.normalize():f}"
    return f"~{int(seconds)}|{int(seconds)}[.]0"


def firing(**labels: str) -> str:
    """Return the selector of alerts that fire now, with the given labels."""
    return selector(names.ALERTS, alertstate="firing", **labels)


def burn_rate(window: str) -> str:
    """Return each SLO's bad share over `window`, divided by its error budget.

    1 spends the budget exactly within the period.
    """
    return f"{names.error_ratio(window)} / on ({names.SLO}) (1 - {names.OBJECTIVE})"


def by_slo(
    expr: str,
    label: str,
    suffix: str,
    aggregation: str = "sum",
    *,
    keep: Iterable[str] = (names.INSTANCE,),
) -> str:
    """Return `expr` aggregated per SLO, whose name is the value of `label` and `suffix`."""
    return fill(
        BY_SLO,
        aggregation=aggregation,
        grouping=", ".join((names.SLO, *keep)),
        expr=expr,
        suffix=suffix,
        label=label,
    )


def rate(metric: str, over: str = RATE_INTERVAL, **labels: str) -> str:
    """Return the rate of a counter per second."""
    return f"rate({selector(metric, **labels)}[{over}])"


def event_rates(label: str, metric: str, **labels: str) -> str:
    """Return the events per second of the last minutes, by one label."""
    return f"sum by ({label}) ({rate(metric, SHORT_WINDOW, **labels)})"


def increases(label: str, metric: str, window: str, **labels: str) -> str:
    """Return the events of a window, by one label."""
    return f"sum by ({label}) (increase({selector(metric, **labels)}[{window}]))"


def quantile(
    share: Decimal, metric: str, *, over: str = RATE_INTERVAL, by: str = "", **labels: str
) -> str:
    """Return a quantile of a histogram of durations, in seconds."""
    grouping = f"le, {by}" if by else "le"
    buckets = rate(metric + "_bucket", over, **labels)
    return f"histogram_quantile({format_decimal(share)}, sum by ({grouping}) ({buckets}))"


def p99(histogram: str, **labels: str) -> str:
    """Return the 99th percentile of a histogram over the last minutes."""
    return quantile(Decimal("0.99"), histogram, over=SHORT_WINDOW, **labels)


def labelled(expr: str, labels: dict[str, str]) -> str:
    """Return `expr` with labels set on every element of the vector."""
    for key, value in labels.items():
        expr = f'label_replace({expr}, {quote(key)}, {quote(value.replace("$", "$$"))}, "", "")'
    return expr


def log_lines(own: dict[str, str], program: str | None, level: str | None, text: str | None) -> str:
    """Return LogQL for lines with the service's labels, of one program and level, and one text."""
    labels = {names.LOG_PROGRAM: program, names.LOG_LEVEL: level}
    stream = selector("", **own, **{label: value for label, value in labels.items() if value})
    return f"{stream} |= {quote(text)}" if text else stream
