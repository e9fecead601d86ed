"""The scope of a service: which of the series that a Prometheus has are its own.

Templates name series without their scope. `limit` adds it to every selector of a finished
expression, so that none can be forgotten.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial

import promql_parser
from promql_parser import BinaryExpr, Call, Expr, MatchOp, MatrixSelector, VectorSelector

from observability.lib.json_object import Json
from observability.lib.promql import RATE_INTERVAL, escape_regex, matcher, one_match, one_of
from observability.spec import names
from observability.spec.plan import GATEWAY_SOURCE, Plan

OPERANDS = ("expr", "lhs", "rhs", "args", "param", "vector_selector")  # of promql_parser's classes
STAND_IN = "9d9h9m9s9ms"  # for Grafana's window, which is no PromQL
LONG_CHAIN = 200  # words; beyond that, nobody could read the indentation of its parts
Labels = dict[str, str]


# --- labels ---


def own_matchers(plan: Plan) -> Labels:
    """Return what selects the service's recorded series; "" is a label that they do not have."""
    return {names.SERVICE: plan.service, names.ENVIRONMENT: plan.environment or ""}


def own_labels(plan: Plan) -> Labels:
    """Return the labels of everything that the service's rules record, and of its alerts."""
    return one_match(own_matchers(plan))


def is_own(plan: Plan, labels: Mapping[str, str]) -> bool:
    """Return whether an alert with these labels is one of the service's."""
    return own_matchers(plan).items() <= {names.ENVIRONMENT: "", **labels}.items()


def scrape_jobs(plan: Plan, series: str) -> list[str]:
    """Return the scrape jobs of the targets that expose a series.

    Gateway and prober are not everywhere.
    """
    scrape = plan.scrape
    if series.startswith(names.PROBER_METRICS):
        return [scrape.prober]
    if series.startswith(names.GATEWAY_METRICS):
        return [scrape.gateway]
    of_requests = (signal.metric for signal in plan.signals.every())
    if series.startswith((*plan.emitted, *of_requests)):
        return [scrape.api]
    jobs = {scrape.api, *scrape.others}
    if plan.probe_every:
        jobs.add(scrape.prober)
    if GATEWAY_SOURCE in {slo.source for slo in plan.slos}:
        jobs.add(scrape.gateway)
    return sorted(jobs)


def jobs_read(plan: Plan, expr: str) -> set[str]:
    """Return the scrape jobs whose series an expression reads."""
    jobs = set[str]()
    for one in list_selectors(promql_parser.parse(expr)):
        of_job = (m for m in one.matchers.matchers if m.name == names.SCRAPE_JOB)
        named = {matcher.value for matcher in of_job if matcher.op == MatchOp.Equal}
        jobs |= named or set(scrape_jobs(plan, one.name or ""))
    return jobs


def matchers(plan: Plan, series: str) -> Labels:
    """Return what selects the service's own ones of a series; `~` begins a regular expression."""
    if series.startswith((names.RECORDED, names.ALERTS)):
        return own_matchers(plan)
    if series in names.RULE_METRICS:
        return {names.RULE_GROUP: f"~.*;{escape_regex(plan.scope)}:.*"}
    return {names.SCRAPE_JOB: one_of(scrape_jobs(plan, series)), **plan.scrape.labels}


# --- rules ---


def group_name(plan: Plan, group: str) -> str:
    """Return the name of a rule group, which no group of another service has."""
    return f"{plan.scope}:{group}"


def limit_rules(plan: Plan, rules: Iterable[Json]) -> list[Json]:
    """Return rules that read only the service's series, and label what they record or raise."""
    own, limited = own_labels(plan), cached_limit(plan)
    return [
        rule | {"expr": limited(rule["expr"]), "labels": rule["labels"] | own} for rule in rules
    ]


# --- expressions ---


def limit(plan: Plan, expr: str) -> str:
    """Return PromQL that selects only the service's series, each once.

    A label that a selector names itself stays as it is, and so does what is no PromQL: `make check`
    names its place.
    """
    tree = parse(expr.replace(RATE_INTERVAL, STAND_IN))
    if tree is None:
        return expr
    # As a tree, a chain of operators is as deep as it is long, and the parser copies the subtree
    # of each expression that it transforms.
    words: list[str] = []
    while isinstance(tree, BinaryExpr):
        words += (limit_operand(plan, tree.rhs), f"{tree.op} {tree.modifier or ''}")
        tree = tree.lhs
    text = " ".join([limit_operand(plan, tree), *words[::-1]])
    if 0 < len(words) < LONG_CHAIN:
        text = promql_parser.parse(text).prettify()
    return text.replace(STAND_IN, RATE_INTERVAL)


def cached_limit(plan: Plan) -> Callable[[str], str]:
    """Return `limit` for many expressions of a plan, of which many are the same."""
    return cache(partial(limit, plan))


def limit_operand(plan: Plan, tree: Expr) -> str:
    """Return an operand that selects only the service's series."""
    parents: list[Expr | None] = [None]

    def leave(part: Expr) -> Expr:
        parents.pop()
        return limit_part(plan, part, parents[-1])

    return str(promql_parser.transform(tree, parents.append, leave).prettify())


def limit_part(plan: Plan, part: Expr, parent: Expr | None) -> Expr:
    """Return a part whose selector is limited; what reads samples has no label of replicas.

    The highest value of all replicas counts: one that missed a scrape lags behind.
    """
    is_read = reads_samples(part)
    if isinstance(part, VectorSelector):
        part = with_matchers(part, matchers(plan, part.name or ""))
        is_read = not (isinstance(parent, MatrixSelector) or reads_samples(parent))
    label = plan.scrape.replica_label
    if label and is_read:
        return promql_parser.parse(f"max without ({label}) ({part.prettify()})")
    return part


def reads_samples(part: Expr | None) -> bool:
    """Return whether a part is a function of a range, or of the times of samples."""
    return isinstance(part, Call) and (
        part.func.name == "timestamp" or any(isinstance(one, MatrixSelector) for one in part.args)
    )


def exposed(plan: Plan, series: str) -> str:
    """Return a series of a promtool case with the labels by which rules select it.

    What is no series stays as it is, for promtool to complain about.
    """
    selector = parse(series)
    if not isinstance(selector, VectorSelector):
        return series
    return with_matchers(selector, one_match(matchers(plan, selector.name or ""))).prettify()


def list_selectors(tree: Expr) -> Iterator[VectorSelector]:
    """Yield every vector selector of a parsed expression, however deep.

    `promql_parser.walk` copies the subtree of each expression that it visits.
    """
    waiting = [tree]
    while waiting:
        expression = waiting.pop()
        if isinstance(expression, VectorSelector):
            yield expression
            continue
        for field in OPERANDS:
            operand = getattr(expression, field, None)
            operands = operand if isinstance(operand, list) else [operand]
            waiting += (one for one in operands if isinstance(one, Expr))


def parse(expr: str) -> Expr | None:
    """Return the tree of an expression, None if it is no PromQL."""
    try:
        return promql_parser.parse(expr)
    except ValueError:
        return None


def with_matchers(selector: VectorSelector, added: Labels) -> Expr:
    """Return a selector with further matchers, except on labels that have one."""
    name = selector.name or ""
    own = {one.name for one in selector.matchers.matchers}
    texts = [matcher(label, value) for label, value in added.items() if label not in own]
    rest = selector.prettify().removeprefix(name)
    texts.append(rest[1:] if rest.startswith("{") else "}" + rest)
    return promql_parser.parse(f"{name}{{{','.join(texts)}")
