"""The table of SLOs."""

from collections import Counter

from observability.slo.verdicts import SloResult, Verdict, describe_coverage
from observability.terminal import (
    format_objective,
    format_percentage,
    format_verdict,
    make_table,
    out,
    print_wrapped,
)

BAR_BLOCKS = 5
LOWEST_LEFT = -9.995  # -999 % after rounding; less would widen the column
FULL_WIDTH = 80  # columns that the table needs at its widest
FULL_COLUMNS = (">measured", ">events", "budget left", ">burn", "verdict")
NARROW_COLUMNS = (">measured", ">left", "verdict")


def print_slos(rows: list[SloResult], window: str) -> None:
    """Print the rows and the number of each verdict; a narrow terminal gets fewer columns."""
    is_wide = out.width >= FULL_WIDTH
    columns = FULL_COLUMNS if is_wide else NARROW_COLUMNS
    heading, *names = pad_names(rows)
    table = make_table(f"SLOs over {window}, {describe_coverage(rows)}", heading, *columns)
    for name, row in zip(names, rows, strict=True):
        table.add_row(name, *format_cells(row, is_wide=is_wide))
    out.print(table)
    print_counts(rows)
    if any(row.verdict == Verdict.TOO_FEW for row in rows):
        print_wrapped(
            "[dim]Too few: not enough events, or time, to tell; see docs/operations.md. If nothing "
            "is worse, the exit code is 2 (make prints Error 2). fix: wait, or run make load[/dim]",
            0,
        )
    out.print("[dim]Events are counted by scrapes: those of the last 15 s may be missing.[/dim]")


def pad_names(rows: list[SloResult]) -> list[str]:
    """Return the heading and the cells of the first column: names, and objectives at its right.

    A column of its own for the objectives would be as wide as their heading.
    """
    objectives = [format_objective(row.objective) for row in rows]
    name_width = max(len(row.slo) for row in rows)
    width = name_width + 1 + max(len(objective) for objective in objectives)
    heading = f"SLO {'objective':>{width - 4}}"
    names = [
        f"{row.slo}{objective:>{width - len(row.slo)}}"
        for row, objective in zip(rows, objectives, strict=True)
    ]
    return [heading, *names]


def format_cells(row: SloResult, *, is_wide: bool) -> list[str]:
    """Return the cells after the first of an SLO, in a wide or a narrow terminal."""
    measured = format_percentage(row.measured)
    verdict = format_verdict(row.verdict)
    left = draw_bar(row.budget_remaining)
    if is_wide:
        burn = format_burn_rate(row.burn_rate)
        return [measured, format_events(row), left, burn, verdict]
    percent = left.split()[-1]
    return [measured, percent, verdict]


def print_counts(rows: list[SloResult]) -> None:
    """Print the number of SLOs by verdict, as in `3 met, 1 missed`."""
    count_by_verdict = Counter(row.verdict for row in rows)
    counts = []
    for verdict in Verdict:
        if verdict in count_by_verdict:
            counts.append(f"{count_by_verdict[verdict]} {verdict}")
    out.print(", ".join(counts))


def format_events(row: SloResult) -> str:
    """Return a number of events; where a verdict needs more, as in `8/20`; `–` without data."""
    if row.total is None:
        return "–"
    if 0 < row.total < row.events_needed:
        return f"{row.total:.0f}/{row.events_needed:.0f}"
    return f"{row.total:.0f}"


def format_burn_rate(rate: float | None) -> str:
    """Return a burn rate in at most four characters; `–` for None."""
    if rate is None:
        return "–"
    if rate >= 999.5:
        return ">999"
    if rate >= 99.5:
        return f"{rate:.0f}"
    return f"{rate:.1f}"


def draw_bar(left: float | None) -> str:
    """Return the rest of an error budget as blocks and per cent; `–` for None."""
    if left is None:
        return "–"
    share = max(0.0, min(1.0, left))
    full_blocks = round(share * BAR_BLOCKS)
    blocks = ("█" * full_blocks).ljust(BAR_BLOCKS, "░")
    percent = f"{left * 100:.0f}"
    if left < LOWEST_LEFT:
        percent = "<-999"
    return f"{blocks} {percent}%"
