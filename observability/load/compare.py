"""Two reports of load runs, one against the other; it sends no load and asks no server."""

import json
from pathlib import Path
from typing import Any

from observability.load import report
from observability.load.report import Report, Verdict

PAGE = "compare.html"
UNSURE = (Verdict.DISAGREE, Verdict.UNKNOWN)
ORDER = ("host", "users", "rate", "time")
FIGURES = (
    "rate",
    "failing",
    "p50",
    "p95",
    "p99",
)  # what runs of different length can be compared by, as the clients saw it
FEW = 100  # requests; of fewer, chance alone moves a p99 or a share of failures


class NoReport(Exception):
    """A folder that should hold a report does not."""


def read(folder: Path) -> Report:
    """Return the report in a folder; raise NoReport."""
    if not folder.is_dir():
        raise NoReport(f"{folder} is no folder; name two that `make load` printed")
    path = folder / report.DATA
    try:
        found: Report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NoReport(
            f"{folder} has no {report.DATA}; name a folder that `make load` printed"
        ) from error
    except (OSError, ValueError) as error:
        raise NoReport(
            f"{path} cannot be read ({error}); run that load again, or name another folder"
        ) from error
    if not isinstance(found, dict) or found.get("version") != report.VERSION:
        raise NoReport(
            f"{path} is no report of version {report.VERSION}; "
            f"run that load again with this release"
        )
    return found


def compare(old: Report, new: Report) -> dict[str, Any]:
    """Return each route's figures in both runs, and the objectives that are no longer met."""
    before, after = (
        {row["route"]: figures(row["clients"]) for row in (run["total"], *run["routes"])}
        for run in (old, new)
    )
    none = dict.fromkeys(("requests", *FIGURES))
    routes = [
        {"route": name, "old": before.get(name, none), "new": after.get(name, none)}
        for name in after | before
    ]
    met = {row["slo"]: row for row in old["objectives"] if row["verdict"] == "met"}
    return {
        "unlike": [
            f"{key} was {old['run'][key]}, is {new['run'][key]}"
            for key in ORDER
            if old["run"][key] != new["run"][key]
        ],
        "unsure": unsure(old["verdict"], new["verdict"]),
        "routes": [
            row | {"few": min(row[when]["requests"] or 0 for when in ("old", "new")) < FEW}
            for row in routes
        ],
        "broken": [
            {
                "slo": row["slo"],
                "objective": row["objective"],
                "old": met[row["slo"]]["measured"],
                "new": row["measured"],
            }
            for row in new["objectives"]
            if row["verdict"] == "missed" and row["slo"] in met
        ],
    }


def unsure(old: str, new: str) -> str:
    """Return why the comparison proves little; empty where both runs are reliable."""
    said = [
        f"the {run} run's verdict is {verdict}"
        for run, verdict in (("old", old), ("new", new))
        if verdict in UNSURE
    ]
    return f"{' and '.join(said).capitalize()}, so this comparison proves little." if said else ""


def figures(clients: dict[str, Any]) -> dict[str, float | None]:
    share = clients["failed"] / clients["requests"] if clients["requests"] else None
    return {key: clients[key] for key in ("requests", *FIGURES) if key != "failing"} | {
        "failing": share
    }


def change(figure: str, old: float | None, new: float | None) -> str:
    """Return a change as `+12 %`, or `+0.4 pt` for a share; a dash where a value is missing."""
    if old is None or new is None or (not old and figure != "failing"):
        return "–"
    return (
        f"{(new - old) * 100:+.2g} pt" if figure == "failing" else f"{(new / old - 1) * 100:+.0f} %"
    )
