"""The table of SLOs."""

from observability.slo.verdicts import Row, Verdict
from observability.terminal import coloured, make_table, out, percentage

BAR_BLOCKS = 5
FULL_WIDTH = 80  # columns that the table needs at its widest
FULL_COLUMNS = ("SLO", ">goal", ">measured", ">events", "budget left", ">burn", "verdict")
NARROW_COLUMNS = ("SLO", ">goal", ">measured", ">left", "verdict")


def print_slos(rows: list[Row], window: str) -> None:
    """Print the rows and the number of each verdict; a narrow terminal gets fewer columns."""
    full = out.width >= FULL_WIDTH
    columns = FULL_COLUMNS if full else NARROW_COLUMNS
    table = make_table(f"SLOs over {window}", *columns)
    for row in rows:
        promise = (row.slo, f"{row.objective * 100:g}", percentage(row.measured))
        left = bar(row.budget_remaining)
        numbers = [events(row.total), left, burn_rate(row.burn_rate)]
        if not full:
            numbers = [left.split()[-1]]
        table.add_row(*promise, *numbers, coloured(row.verdict))
    out.print(table)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in Verdict}
    out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    out.print("[dim]Events are counted by scrapes: those of the last 10 s may be missing.[/dim]")


def events(total: float | None) -> str:
    """Return a number of events as text; `–` for None."""
    if total is None:
        return "–"
    return f"{total:.0f}"


def burn_rate(rate: float | None) -> str:
    """Return a burn rate in at most four characters; `–` for None."""
    if rate is None:
        return "–"
    if rate >= 999.5:
        return ">999"
    if rate >= 99.5:
        return f"{rate:.0f}"
    return f"{rate:.1f}"


def bar(left: float | None) -> str:
    """Return the rest of an error budget as blocks and per cent; `–` for None."""
    if left is None:
        return "–"
    full = round(max(0.0, min(1.0, left)) * BAR_BLOCKS)
    blocks = "█" * full + "░" * (BAR_BLOCKS - full)
    percent = "<-999" if left < -9.995 else f"{left * 100:.0f}"
    return f"{blocks} {percent}%"
