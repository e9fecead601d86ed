"""PromQL for the events and the coverage of every SLO in a window, from what the rules recorded."""

from observability.lib.templates import fill
from observability.spec import names
from observability.spec.plan import FINE_PACE, LONG_PACE, Plan, Window
from observability.spec.quantities import format_decimal

# Events; for SLOs that count seconds, samples × the seconds between two, and their bad share.
ALL_EVENTS = """\
sum by (<<SLO>>) (increase(<<TOTAL>><<suffix>>[<<window>>]))
or count_over_time(<<FRESH>><<suffix>>[<<window>>]) * <<seconds>>"""
BAD_EVENTS = """\
sum by (<<SLO>>) (increase(<<BAD>><<suffix>>[<<window>>]))
or count_over_time(<<FRESH>><<suffix>>[<<window>>]) * <<seconds>>
   * (1 - avg_over_time(<<FRESH>><<suffix>>[<<window>>]))"""
COVERED_SECONDS = "count_over_time(<<MEASURED>><<suffix>>[<<window>>]) * <<seconds>>"
EXCLUDED_SECONDS = "sum(count_over_time(<<IN_MAINTENANCE>>[<<window>>])) * <<seconds>>"
# The thinned series of an SLO that is older than the frequent window, else every sample of that.
THINNED_OR_EVERY_SAMPLE = """\
((<<thinned>>) and on (<<SLO>>) <<OBJECTIVE>> offset <<frequent_window>>)
or (<<every_sample>>)"""


def total_and_bad_events(plan: Plan, window: Window) -> tuple[str, str]:
    """Return the queries of all and of bad events in a window, by SLO.

    Long windows read the thinned series, as the rules do. An SLO whose recording began less than
    6 h ago has few thinned samples, so all samples of the last 6 h are read instead.
    """
    return events(plan, window, ALL_EVENTS), events(plan, window, BAD_EVENTS)


def covered_seconds(plan: Plan, window: Window) -> str:
    """Return the query of the seconds of a window that have data, by SLO."""
    return events(plan, window, COVERED_SECONDS)


def excluded_seconds(plan: Plan, window: Window) -> str:
    """Return the query of the seconds of a window that were declared maintenance."""
    return every_sample(plan, window, EXCLUDED_SECONDS)


def events(plan: Plan, window: Window, template: str) -> str:
    """Return one of the queries for a window."""
    frequent_window = longest_frequent_window(plan)
    if window.pace == FINE_PACE or window.seconds <= frequent_window.seconds:
        return every_sample(plan, window, template)
    thinned = fill(
        template,
        suffix=names.THIN,
        window=window.text,
        seconds=format_decimal(plan.clock.thin),
    )
    return fill(
        THINNED_OR_EVERY_SAMPLE,
        thinned=thinned,
        frequent_window=frequent_window.text,
        every_sample=every_sample(plan, frequent_window, template),
    )


def every_sample(plan: Plan, window: Window, template: str) -> str:
    """Return the query over every sample of a window."""
    seconds = format_decimal(plan.clock.evaluate)
    return fill(template, suffix="", window=window.text, seconds=seconds)


def longest_frequent_window(plan: Plan) -> Window:
    """Return the longest window that the rules evaluate often."""
    frequent = (window for window in plan.windows if window.pace != LONG_PACE)
    return max(frequent, key=lambda window: window.seconds)
