"""The report of a load run as JSON and as a page: both sides, disagreements, verdict."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from observability.devstack.layout import StackLayout
from observability.lib.json_object import Json
from observability.lib.prometheus import ServicePrometheus
from observability.load import reconcile, run, server_counts
from observability.load.pages import render_page
from observability.load.recording import Picture, Recording
from observability.load.run import LoadProfile, LoadRunFailed
from observability.spec.load_resources import is_sent
from observability.spec.plan import Plan

VERSION = 1  # of report.json
DATA = "report.json"
PAGE = "index.html"
SHORTEST_RUN = 0.001  # seconds; no rate divides by zero
MARGIN = 1.2  # of the length of a run that shall have enough requests: routes are drawn by chance
Report = Json


class RunVerdict(StrEnum):
    """The verdict of a run; without the server's side it is unknown.

    Too few: nothing was missed, but some objectives had too few requests for a verdict.
    """

    MET = "met"
    MISSED = "missed"
    TOO_FEW = "too few"
    DISAGREE = "disagree"
    UNKNOWN = "unknown"


EXIT_CODES = {
    RunVerdict.MET: 0,
    RunVerdict.MISSED: 1,
    RunVerdict.TOO_FEW: 2,
    RunVerdict.DISAGREE: 1,
    RunVerdict.UNKNOWN: 2,
}


def run_load(
    layout: StackLayout,
    plan: Plan,
    profile: LoadProfile,
    reports: Path,
    report_progress: Callable[[str], None],
) -> tuple[Report, Path]:
    """Run a load and return its report and its new folder below `reports`.

    Raise LoadRunFailed when the load cannot be sent.
    """
    require_load(plan)
    profile.check(layout)
    prometheus = ServicePrometheus(layout.url("prometheus"), plan)
    recording = Recording()
    before, folder = None, create_folder(reports)
    try:
        if profile.targets(layout):
            report_progress("waiting for a scrape, so that only this run is counted")
            before = recording.start(prometheus, plan)
        else:
            recording.unwatched = (
                f"{profile.host} is not the API of make up: no Prometheus here watches it, "
                "so these are the clients' numbers alone."
            )
        report_progress(
            f"{profile.users} clients, {profile.rate:g} requests/s, "
            f"{profile.length}, against {profile.host}"
        )
        locust_report = run.run_locust(layout, profile, folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
    if before:
        report_progress("waiting for the scrape that has the last request")
        recording.finish(prometheus, plan, before)
    measured = recording.impact | {"period": plan.period.name}
    report = build_report(profile, locust_report, recording) | measured
    write_report(folder, report, recording.pictures)
    return report, folder


def require_load(plan: Plan) -> None:
    """Raise LoadRunFailed when no route has load."""
    if not any(is_sent(route.load) for route in plan.routes):
        raise LoadRunFailed(
            "no route of the catalogue has load; fix: write `load: {weight: 1}` under defaults, "
            "or in a route, then make generate"
        )


def create_folder(reports: Path) -> Path:
    """Create and return a folder named by the present time."""
    reports.mkdir(parents=True, exist_ok=True)
    name = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = reports / f"{name}{suffix}"
        with suppress(FileExistsError):  # of a run that began in the same second
            folder.mkdir()
            return folder
    raise LoadRunFailed(f"{reports} has 99 reports of {name}; fix: start fewer runs at once")


def write_report(folder: Path, report: Report, pictures: list[Picture]) -> None:
    """Write the report as JSON and as a page."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (folder / DATA).write_text(text + "\n", encoding="utf-8")
    page = render_page("report.html", report=report, pictures=pictures)
    (folder / PAGE).write_text(page, encoding="utf-8")


def build_report(profile: LoadProfile, locust_report: Json, recording: Recording) -> Report:
    """Return the report of a run from what Locust and Prometheus have of it."""
    seconds = max(locust_report["ended"] - locust_report["started"], SHORTEST_RUN)
    increase = recording.increase
    findings = []
    routes = []
    for row in locust_report["routes"]:
        server = None
        if increase:
            server = server_counts.count_routes(increase, {row["route"]: row["expect"]})
            findings += reconcile.find_disagreements(row, server)
        routes.append(build_row(row["route"], row["clients"], server, seconds))
    total = None
    if increase:
        expected_codes = {row["route"]: row["expect"] for row in locust_report["routes"]}
        total = server_counts.count_routes(increase, expected_codes)
    verdict, summary = judge(locust_report["objectives"], len(findings), recording)
    if verdict == RunVerdict.TOO_FEW:
        summary += advise_length(locust_report["objectives"], seconds)
    if locust_report["exceptions"]:
        verdict, summary = RunVerdict.MISSED, describe_exceptions(locust_report["exceptions"])
    return {
        "version": VERSION,
        "verdict": verdict,
        "summary": summary,
        "run": describe_run(profile, locust_report, seconds),
        "server": describe_server(recording),
        "findings": [reconcile.as_dict(finding) for finding in findings],
        "total": build_row("all", locust_report["total"], total, seconds),
        "routes": routes,
        "objectives": locust_report["objectives"],
        "errors": locust_report["errors"],
        "exceptions": locust_report["exceptions"],
    }


def advise_length(objectives: list[Json], seconds: float) -> str:
    """Return what the exit code means, and how long a run has enough requests for all verdicts."""
    few = [row for row in objectives if row["verdict"] == "too few"]
    shortage = max(row["events_needed"] / row["total"] for row in few)
    minutes = math.ceil(seconds * shortage * MARGIN / 60)
    return (
        " The exit code is 2 (make prints Error 2), because nothing is wrong but not all is proven."
        f" fix: run it again with TIME={minutes}m"
    )


def describe_exceptions(exceptions: list[Json]) -> str:
    """Return what ails a run in which clients raised exceptions: it proves nothing."""
    count = sum(exception["count"] for exception in exceptions)
    plural = "s" if count > 1 else ""
    return (
        f"The load was not sent as the catalogue says: {count} exception{plural} in the clients, "
        f"most often {exceptions[0]['what']}."
    )


def describe_run(profile: LoadProfile, locust_report: Json, seconds: float) -> Json:
    """Return the load that was sent, and when."""
    return {
        "host": profile.host,
        "users": profile.users,
        "rate": profile.rate,
        "time": profile.length,
        "seconds": round(seconds, 3),
        "started": format_time(locust_report["started"]),
        "ended": format_time(locust_report["ended"]),
    }


def describe_server(recording: Recording) -> Json:
    """Return the times of the samples, or why the server's side is missing."""
    server: Json = {
        "missing": recording.unreachable or recording.unwatched,
        "from": None,
        "to": None,
    }
    if recording.increase:
        server |= {"from": recording.increase.start, "to": recording.increase.end}
    return server


def format_time(seconds: float) -> str:
    """Return a Unix time in ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def build_row(
    route: str,
    clients: Json,
    server: server_counts.ServerCounts | None,
    seconds: float,
) -> Json:
    """Return the report's row of a route: the numbers of the clients and of the server."""
    row = {"route": route, "clients": clients, "server": None, "probes": 0}
    if server:
        row |= {"server": server.figures(seconds), "probes": server.probes}
    return row


def judge(
    objectives: list[Json], disagreements: int, recording: Recording
) -> tuple[RunVerdict, str]:
    """Return the verdict and its reason in one sentence or two."""
    used = [row for row in objectives if row["verdict"] != "idle"]
    if not used:
        return RunVerdict.UNKNOWN, "No request was measured."
    verdict, result = judge_objectives(used)
    if recording.unreachable:
        problem = f"but the server's numbers are missing: {recording.unreachable}"
        return RunVerdict.UNKNOWN, f"For the clients, {result}, {problem}"
    if disagreements:
        plural = "s" if disagreements > 1 else ""
        summary = (
            f"Clients and server disagree on {disagreements} number{plural}, "
            f"by more than the measurement error. For the clients, {result}."
        )
        return RunVerdict.DISAGREE, summary
    sides = "and clients and server agree"
    if recording.unwatched:
        sides = "by the clients' numbers only"
    advice = ""
    if verdict == RunVerdict.TOO_FEW:
        advice = " Send more requests to decide the others: raise TIME or RATE."
    return verdict, f"{result[0].upper()}{result[1:]}, {sides}.{advice}"


def judge_objectives(used: list[Json]) -> tuple[RunVerdict, str]:
    """Return the verdict on the objectives that had traffic, and its reason as a clause."""
    numbers = Counter(row["verdict"] for row in used)
    missed = numbers["missed"]
    too_few = numbers["too few"]
    if missed:
        return RunVerdict.MISSED, f"{missed} of {len(used)} objectives are missed"
    if too_few:
        clause = f"no objective is missed, {numbers['met']} of {len(used)} are met"
        return RunVerdict.TOO_FEW, f"{clause}, {too_few} had too few requests for a verdict"
    return RunVerdict.MET, f"all {len(used)} objectives with traffic are met"
