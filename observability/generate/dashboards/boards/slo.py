"""The SLO board: the budget of one SLO, how fast it burns, and which alerts follow."""

from collections.abc import Iterator
from decimal import Decimal

from observability.generate.dashboards.shared_panels import BUDGET_STEPS, alert_annotations
from observability.lib.panel_builders import FINE_RATIO, lines, stat, table
from observability.lib.panels import (
    BAD,
    GOOD,
    GREY,
    WARN,
    Board,
    Panel,
    Query,
    Row,
    Step,
    Unit,
    Variable,
)
from observability.lib.templates import fill
from observability.spec import board_slugs, names
from observability.spec.plan import LONG_PACE, SHORT_WINDOW, Plan, Tier, Window
from observability.spec.quantities import format_decimal

CHOSEN = fill('{<<SLO>>="$slo"}')
OBJECTIVE = names.OBJECTIVE + CHOSEN
BUDGET_LEFT = names.BUDGET_LEFT + CHOSEN
BUDGET = f"on ({names.SLO}) (1 - {OBJECTIVE})"
BUDGET_GONE_IN = (
    "clamp_min(<<budget_left>>, 0) * <<budget>> * <<period>> / on (<<SLO>>) (<<error_ratio>> > 0)"
)
EXCLUDED_TIME = (
    "sum by (<<REASON>>) (count_over_time(<<IN_MAINTENANCE>>[<<window>>])) * <<seconds>>"
)
EVENTS = lines(
    "Events and bad events",
    "All events and bad events per second (seconds, for freshness, probes and gauges).",
    Unit.PER_SECOND,
    Query(names.total_rate(SHORT_WINDOW) + CHOSEN, "all"),
    Query(names.bad_rate(SHORT_WINDOW) + CHOSEN, "bad", colour=BAD),
    expects_data=False,
)
NEXT_STEPS = table(
    "Next steps",
    "First steps for the engineer on call; the runbook has more.",
    Unit.TEXT,
    Query(names.NEXT_STEPS_INFO + CHOSEN, ""),
    key=names.NEXT_STEPS,
)


def board(plan: Plan) -> Board:
    """Return the board of one SLO, which the reader chooses."""
    severities = sorted({tier.severity for tier in plan.tiers})
    history = (budget_burn_down(plan), burn_rate_lines(plan), EVENTS, NEXT_STEPS)
    annotations = alert_annotations(plan, *severities, **{names.SLO: "$slo"})
    if plan.maintenance:
        annotations += (("Maintenance", names.IN_MAINTENANCE),)
    return Board(
        board_slugs.SLO,
        "SLO detail",
        "One SLO: its error budget, how fast it burns, and its alerts",
        (
            Row("Summary", (*target_stats(plan), *burn_stats(plan))),
            Row("Budget and burn", (*history, *exclusions(plan))),
        ),
        (Variable("slo", "SLO", names.OBJECTIVE),),
        annotations,
        time_from="now-6h",
    )


def exclusions(plan: Plan) -> Iterator[Panel]:
    """Yield what counts neither way, if the catalogue declares any: maintenance, status codes."""
    if plan.maintenance:
        yield table(
            "Excluded time",
            f"Declared maintenance of the last {plan.period.name}, in which nothing counts.",
            Unit.SECONDS,
            Query(
                fill(EXCLUDED_TIME, window=plan.period.text, seconds=plan.clock.evaluate), "time"
            ),
            key=names.REASON,
            expects_data=False,
        )
    if any(slo.excluded_codes for slo in plan.slos):
        yield table(
            "Excluded status codes",
            "Requests that end in these codes count neither as good nor as bad.",
            Unit.TEXT,
            Query(OBJECTIVE.replace("}", fill(', <<EXCLUDED_CODES>>!=""}')), ""),
            key=names.EXCLUDED_CODES,
            expects_data=False,
        )


def short_windows(plan: Plan) -> list[Window]:
    """Return the windows of burn rates, the shortest first."""
    return [window for window in plan.windows if window.pace != LONG_PACE]


def target_stats(plan: Plan) -> tuple[Panel, ...]:
    """Return objective, measured share, and budget left."""
    period = plan.period.name
    return (
        stat(
            "Objective",
            "The required ratio of good events.",
            Unit.RATIO,
            OBJECTIVE,
            decimals=FINE_RATIO,
        ),
        stat(
            "Measured",
            f"The ratio of good events over {period}, as far as that has data.",
            Unit.RATIO,
            f"1 - {names.error_ratio(period)}{CHOSEN}",
            decimals=FINE_RATIO,
        ),
        stat(
            "Budget left",
            "1 is untouched, 0 is spent, below 0 the SLO is missed.",
            Unit.RATIO,
            BUDGET_LEFT,
            *BUDGET_STEPS,
        ),
    )


def burn_stats(plan: Plan) -> tuple[Panel, ...]:
    """Return the burn rate, the time until the budget is spent, and the rate of events."""
    window = short_windows(plan)[-1].name
    gone_in = fill(
        BUDGET_GONE_IN,
        budget_left=BUDGET_LEFT,
        budget=BUDGET,
        period=format_decimal(plan.period.seconds),
        error_ratio=names.error_ratio(window) + CHOSEN,
    )
    return (
        stat(
            "Burn rate",
            "Burn rate of the last 5 minutes; at 1 the budget lasts exactly for the period.",
            Unit.TIMES,
            f"{names.error_ratio(SHORT_WINDOW)}{CHOSEN} / {BUDGET}",
            *burn_steps(plan),
            expects_data=False,
        ),
        stat(
            "Budget gone in",
            f"Time until the budget is spent at the rate of the last {window}.",
            Unit.SECONDS,
            gone_in,
            expects_data=False,
            no_data_text="–",
        ),
        stat(
            "Events",
            "Events per second over the last 5 minutes.",
            Unit.PER_SECOND,
            names.total_rate(SHORT_WINDOW) + CHOSEN,
            expects_data=False,
        ),
    )


def burn_steps(plan: Plan) -> tuple[Step, ...]:
    """Return the colours of a burn rate: good up to 1, bad from the slowest burn that pages."""
    return (0.0, GOOD), (1.0, WARN), (slowest_paging_burn(plan), BAD)


def slowest_paging_burn(plan: Plan) -> float:
    """Return the burn rate at which the slowest tier pages; 1 where none does."""
    burn_rates = burn_rates_by_tier(plan).items()
    pages = (float(rate) for tier, rate in burn_rates if tier.severity == plan.paging_severity)
    return min(pages, default=1.0)


def burn_rates_by_tier(plan: Plan) -> dict[Tier, Decimal]:
    """Return the burn rate of each tier whose line is a multiple of the budget."""
    factors = {tier: tier.conditions[0].factor for tier in plan.tiers}
    return {tier: factor for tier, factor in factors.items() if factor}


def budget_burn_down(plan: Plan) -> Panel:
    """Return the budget left over time, and how much of the period has data."""
    period = format_decimal(plan.period.seconds)
    return lines(
        "Budget burn-down",
        f"Error budget of {plan.period.name} that is left; below 0 the SLO is missed. "
        f"“with data” is the part of {plan.period.name} that was measured.",
        Unit.RATIO,
        Query(BUDGET_LEFT, "budget left"),
        Query(f"{names.covered(plan.period.name)}{CHOSEN} / {period}", "with data", colour=GREY),
        Query("vector(0)", "spent", is_threshold=True, colour=BAD),
        axis_max=1,
        axis_soft_max=1,
    )


def burn_rate_lines(plan: Plan) -> Panel:
    """Return the burn rate of every short window, and the line of every tier."""
    burn_queries = [
        Query(f"{names.error_ratio(window.name)}{CHOSEN} / {BUDGET}", f"last {window.name}")
        for window in short_windows(plan)
    ]
    return lines(
        "Burn rates and tiers",
        "Burn rate of each window. A tier fires when all its windows are above its dashed line for "
        "the time in policy.yaml.",
        Unit.TIMES,
        *burn_queries,
        *(tier_line(plan, tier, rate) for tier, rate in burn_rates_by_tier(plan).items()),
        expects_data=False,
        axis_soft_max=slowest_paging_burn(plan),
    )


def tier_line(plan: Plan, tier: Tier, burn_rate: Decimal) -> Query:
    """Return the line of the burn rate above which the tier may fire for the chosen SLO."""
    threshold = f"{format_decimal(burn_rate)} * (1 - {OBJECTIVE})"
    expr = f"clamp_max({threshold}, {format_decimal(plan.policy.max_threshold)}) / {BUDGET}"
    colour = BAD if tier.severity == plan.paging_severity else WARN
    return Query(expr, f"{tier.name} {tier.severity}s", is_threshold=True, colour=colour)
