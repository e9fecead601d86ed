"""The comparison of two load reports; it sends no load and queries no server."""

import json
from pathlib import Path

from observability.lib.json_object import Json
from observability.load import report
from observability.load.pages import render_page
from observability.load.report import Report, RunVerdict

PAGE = "compare.html"
UNRELIABLE_VERDICTS = (RunVerdict.DISAGREE, RunVerdict.UNKNOWN)
PROFILE_KEYS = ("host", "users", "rate", "time")
FIGURES = ("rate", "failing", "p50", "p95", "p99")  # comparable between runs of different length
NO_FIGURES: dict[str, float | None] = dict.fromkeys(("requests", *FIGURES))
NEVER_MEASURED = {"verdict": "idle", "measured": None}  # an objective that the old run had not
FEW_REQUESTS = 100  # of fewer, chance alone moves a p99 or a share of failures
Figures = dict[str, float | None]


class NoReport(Exception):
    """A folder without a readable report."""


def read_report(folder: Path) -> Report:
    """Return the report in a folder; raise NoReport."""
    path = folder / report.DATA
    try:
        data: Report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({error}); name a folder that `make load` printed"
        raise NoReport(f"{path} {problem}") from error
    if not isinstance(data, dict) or data.get("version") != report.VERSION:
        problem = f"is no report of version {report.VERSION}"
        raise NoReport(f"{path} {problem}; run that load again with this release")
    return data


def compare_reports(old: Report, new: Report) -> Json:
    """Return each route's figures in both runs, and the objectives that are newly missed.

    `unlike` lists how the runs' load differs, `unsure` says why the comparison proves little.
    """
    return {
        "unlike": list_profile_differences(old["run"], new["run"]),
        "unsure": explain_doubt(old, new),
        "routes": compare_routes(old, new),
        "broken": list_broken(old["objectives"], new["objectives"]),
    }


def render(old: Report, new: Report, comparison: Json) -> str:
    """Return the page of the comparison."""
    return render_page(
        PAGE,
        old=old,
        new=new,
        describe_change=describe_change,
        few_requests=FEW_REQUESTS,
        **comparison,
    )


def list_profile_differences(old: Json, new: Json) -> list[str]:
    """Return in words how the load of two runs differs."""
    differences = []
    for key in PROFILE_KEYS:
        if old[key] != new[key]:
            differences.append(f"{key} was {old[key]}, is {new[key]}")
    return differences


def explain_doubt(old: Report, new: Report) -> str:
    """Return why the comparison proves little; empty where both runs are reliable."""
    verdicts = {"old": old["verdict"], "new": new["verdict"]}
    reasons = [
        f"the {run} run's verdict is {verdict}"
        for run, verdict in verdicts.items()
        if verdict in UNRELIABLE_VERDICTS
    ]
    reasons += [
        f"the clients of the {run} run raised exceptions"
        for run, data in (("old", old), ("new", new))
        if data.get("exceptions")  # earlier releases wrote none
    ]
    undecided = count_undecided(old["objectives"], new["objectives"])
    if undecided:
        reasons.append(f"of the objectives that were met, {undecided} had too few requests now")
    if not reasons:
        return ""
    return f"{' and '.join(reasons).capitalize()}, so this comparison proves little."


def count_undecided(old: list[Json], new: list[Json]) -> int:
    """Return how many objectives the old run met and the new one had too few requests for."""
    met = {row["slo"] for row in old if row["verdict"] == "met"}
    return sum(row["verdict"] == "too few" and row["slo"] in met for row in new)


def compare_routes(old: Report, new: Report) -> list[Json]:
    """Return a row with both runs' figures of each route that either run knew."""
    before = collect_figures(old)
    after = collect_figures(new)
    rows = []
    for route in after | before:
        old_figures = before.get(route, NO_FIGURES)
        new_figures = after.get(route, NO_FIGURES)
        fewest = min(old_figures["requests"] or 0, new_figures["requests"] or 0)
        is_few = fewest < FEW_REQUESTS
        rows.append({"route": route, "old": old_figures, "new": new_figures, "few": is_few})
    return rows


def collect_figures(run: Report) -> dict[str, Figures]:
    """Return the figures of each route of a run, and of `all` together."""
    rows = [run["total"], *run["routes"]]
    return {row["route"]: select_figures(row["clients"]) for row in rows}


def select_figures(clients: Json) -> Figures:
    """Return the clients' numbers that two runs are compared by.

    `failing` is the share of failed requests; None without requests.
    """
    share = None
    if clients["requests"]:
        share = clients["failed"] / clients["requests"]
    numbers = clients | {"failing": share}
    return {key: numbers[key] for key in NO_FIGURES}


def list_broken(old: list[Json], new: list[Json]) -> list[Json]:
    """Return the objectives that the new run missed and the old one did not.

    `was` is the verdict of the old run, idle where it did not know the objective; `old` and `new`
    are the measured shares of good events.
    """
    old_rows = {row["slo"]: row for row in old}
    rows = []
    for row in new:
        before = old_rows.get(row["slo"], NEVER_MEASURED)
        if row["verdict"] == "missed" and before["verdict"] != "missed":
            rows.append(
                {
                    "slo": row["slo"],
                    "objective": row["objective"],
                    "was": before["verdict"],
                    "old": before["measured"],
                    "new": row["measured"],
                }
            )
    return rows


def describe_change(figure: str, old: float | None, new: float | None) -> str:
    """Return a change as `+12 %`, or `+0.4 pt` for a share; a dash where a value is missing."""
    if old is None or new is None:
        return "–"
    if figure == "failing":
        return f"{(new - old) * 100:+.2g} pt"
    if not old:
        return "–"
    return f"{(new / old - 1) * 100:+.0f} %"
