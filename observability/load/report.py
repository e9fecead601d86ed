"""The report of a load run as JSON and as a page: both sides, disagreements, verdict."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from observability.devstack.layout import StackLayout
from observability.generate.dashboards import colours
from observability.generate.dashboards.boards import load as load_board
from observability.lib import charts, panels
from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.load import reconcile, run, server_counts
from observability.spec.plan import Plan

VERSION = 1  # of report.json
DATA, PAGE = "report.json", "index.html"
COLOURS = {
    "good": panels.GOOD,
    "bad": panels.BAD,
    "warn": panels.WARN,
    "blue": panels.BLUE,
    "grey": panels.GREY,
}
PICTURE = 470  # pixels; two beside each other on a wide page, and legible on a phone
Report = dict[str, Any]


class Verdict(StrEnum):
    """The verdict of a run; without the server's side it is unknown."""

    MET = "met"
    MISSED = "missed"
    DISAGREE = "disagree"
    UNKNOWN = "unknown"


EXIT_CODES = {Verdict.MET: 0, Verdict.MISSED: 1, Verdict.DISAGREE: 1, Verdict.UNKNOWN: 2}


def run_load(
    layout: StackLayout, plan: Plan, order: run.Order, reports: Path, tell: run.Tell
) -> tuple[Report, Path]:
    """Run a load and return its report and the new folder below `reports`; raise Failed."""
    order.check(layout)
    prometheus = Prometheus(layout.url("prometheus"))
    own, silent, before, counted = order.is_for(layout), "", None, None
    pictures: list[dict[str, str]] = []
    watched: dict[str, Any] = {}
    folder = new_folder(reports)
    try:
        if own:
            tell("waiting for a scrape, so that only this run is counted")
            try:
                before = server_counts.sample(prometheus, plan, time.time())
            except Unreachable as error:
                silent = str(error)
        told = run.run_locust(layout, order, folder, tell)
    except BaseException:
        shutil.rmtree(folder)
        raise
    if before:
        tell("waiting for the scrape that has the last request")
        try:
            counted = server_counts.between(
                prometheus, before, server_counts.sample(prometheus, plan, time.time())
            )
            watched = server_counts.watched(prometheus, plan, counted)
            pictures = list(draw(prometheus, plan, counted))
        except Unreachable as error:
            silent = str(error)
    alone = (
        ""
        if own
        else f"{order.host} is not the API of make up: no Prometheus here watches it, "
        "so these are the clients' numbers alone."
    )
    report = (
        put_together(order, told, counted, silent, alone) | watched | {"period": plan.period.name}
    )
    (folder / DATA).write_text(
        json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / PAGE).write_text(
        page("report.html", report=report, pictures=pictures), encoding="utf-8"
    )
    return report, folder


def new_folder(reports: Path) -> Path:
    """Create and return a folder named by the present time, numbered when it is taken."""
    name, number = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"), 1
    while True:
        folder = reports / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def put_together(
    order: run.Order,
    told: dict[str, Any],
    counted: server_counts.Counted | None,
    silent: str,
    alone: str,
) -> Report:
    """Return the report; `silent` or `alone` says why the server's side is missing."""
    seconds = max(told["ended"] - told["started"], 0.001)
    expect = {row["route"]: row["expect"] for row in told["routes"]}
    sides = (
        {name: server_counts.side(counted, {name: codes}) for name, codes in expect.items()}
        if counted
        else {}
    )
    total = server_counts.side(counted, expect) if counted else None
    findings = [
        finding
        for row in told["routes"]
        if counted
        for finding in reconcile.compare(row, sides[row["route"]])
    ]
    verdict, summary = judge(told["objectives"], len(findings), silent, alone)
    return {
        "version": VERSION,
        "verdict": verdict,
        "summary": summary,
        "run": {
            "host": order.host,
            "users": order.users,
            "rate": order.rate,
            "time": order.length,
            "seconds": round(seconds, 3),
            **{
                key: datetime.fromtimestamp(told[key], UTC).isoformat(timespec="seconds")
                for key in ("started", "ended")
            },
        },
        "server": {
            "missing": silent or alone,
            "from": counted and counted.start,
            "to": counted and counted.end,
        },
        "findings": [reconcile.as_dict(finding) for finding in findings],
        "total": both("all", told["total"], total, seconds),
        "routes": [
            both(row["route"], row["clients"], sides.get(row["route"]), seconds)
            for row in told["routes"]
        ],
        "objectives": told["objectives"],
        "errors": told["errors"],
    }


def both(
    route: str, clients: dict[str, Any], side: server_counts.Side | None, seconds: float
) -> dict[str, Any]:
    return {
        "route": route,
        "clients": clients,
        "server": side and side.figures(seconds),
        "probes": side.probes if side else 0,
    }


def judge(
    objectives: list[dict[str, Any]], disagreements: int, silent: str, alone: str
) -> tuple[Verdict, str]:
    """Return the verdict and its reason in one sentence or two."""
    used = [row for row in objectives if row["verdict"] != "idle"]
    missed = sum(row["verdict"] == "missed" for row in used)
    clients = (
        f"{missed} of {len(used)} objectives missed"
        if missed
        else f"all {len(used)} objectives that had traffic met"
    )
    if not used:
        return Verdict.UNKNOWN, "No request was measured."
    if silent:
        return (
            Verdict.UNKNOWN,
            f"By the clients' count {clients}, but the server's side is missing: {silent}",
        )
    if disagreements:
        numbers = f"{disagreements} number{'s' if disagreements > 1 else ''}"
        return (
            Verdict.DISAGREE,
            f"Clients and server disagree on {numbers}, by more than their error. "
            f"By the clients' count {clients}.",
        )
    sides = "by the clients' count alone" if alone else "and clients and server agree"
    return (
        Verdict.MISSED if missed else Verdict.MET
    ), f"{clients[0].upper()}{clients[1:]}, {sides}."


def draw(
    prometheus: Prometheus, plan: Plan, counted: server_counts.Counted
) -> Iterator[dict[str, str]]:
    """Yield the panels of the `load` board, light and dark, as data URLs."""
    colour_by_series = colours.series_colours(plan)
    for panel in load_board.board(plan).panels:
        drawn = {
            theme: charts.svg(
                panel,
                prometheus,
                counted.start,
                counted.end,
                dark=theme == "dark",
                width=PICTURE,
                colours=colour_by_series,
            )
            for theme in ("light", "dark")
        }
        pictures = {
            theme: "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
            for theme, svg in drawn.items()
        }
        yield {"title": panel.title, "description": panel.description, **pictures}


def page(template: str, **values: Any) -> str:
    """Render one of templates/*.html; values are escaped."""
    pages = Environment(
        loader=PackageLoader("observability.load"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "unit": lambda value, unit: charts.text(value, panels.Unit(unit)),
        "count": lambda number: f"{number:,.0f}".replace(",", "\u202f"),
    }
    return pages.get_template(template).render(colours=COLOURS, **values)
