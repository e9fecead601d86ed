"""The report of the request benchmark: ratios against the committed ones, and costs of pieces."""

import json
import os
import platform
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress

from loadtests.bench import apps, measure, request
from loadtests.bench.measure import Costs, to_micros
from loadtests.bench.pieces import list_pieces
from loadtests.bench.request import CostsByRequest

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
IN_PROCESS = "in process"
END_TO_END = "end to end"
ROUNDS = {IN_PROCESS: 60, END_TO_END: 8}
QUICK_ROUNDS = {IN_PROCESS: 40}
Report = dict[str, Any]


def run_benchmark(factory: str, *, quick: bool) -> Report:
    """Run the benchmark and return its report; raise RuntimeError for a wrong answer.

    Each request has a ratio of all to bare for each way of measuring, and the pieces of its cost.
    `quick` measures in process alone, with fewer rounds and no pieces.
    """
    rounds = QUICK_ROUNDS if quick else ROUNDS
    costs_by_way = measure_requests(factory, rounds)
    committed = json.loads(BASELINE.read_text(encoding="utf-8"))
    rows = []
    verdicts = []
    for name in request.KINDS:
        ratios = {}
        for way, costs in costs_by_way.items():
            committed_ratio = committed.get(name, {}).get(way)
            ratios[way] = judge_ratio(costs[name], committed_ratio)
            verdicts.append(ratios[way]["verdict"])
        pieces = list_pieces(costs_by_way[IN_PROCESS][name])
        rows.append({"request": name, "ratios": ratios, "pieces": pieces})
    return {
        "machine": describe_machine(),
        "rounds": rounds[IN_PROCESS],
        "requests": rows,
        "verdict": measure.combine(verdicts),
    }


def describe_machine() -> str:
    """Return the hardware and the software that figures depend on."""
    software = f"Python {platform.python_version()}, {platform.system()}"
    return f"{os.cpu_count()} cores, {software} on {platform.machine()}"


def measure_requests(factory: str, rounds: dict[str, int]) -> dict[str, CostsByRequest]:
    """Return the costs of each way that has rounds; show the progress on stderr.

    The environment of this process becomes that of a production stack.
    """
    is_full = END_TO_END in rounds
    all_rounds = sum(rounds.values()) + len(rounds) * measure.WARM_UP_ROUNDS
    progress = Progress(console=Console(stderr=True), redirect_stderr=False, transient=True)
    task = progress.add_task("measuring", total=len(request.KINDS) * all_rounds)
    tick = partial(progress.advance, task)
    with TemporaryDirectory() as scratch, progress:
        folder = Path(scratch)
        apps.set_environment(folder)
        with (folder / "lines.log").open("w") as log:
            with redirect_stderr(log):  # the lines of the apps go there from now on
                variants = apps.build_variants(factory, pieces=is_full)
                headers = apps.prepare(variants[apps.ALL].app)
            in_process = request.measure_in_process(variants, headers, rounds[IN_PROCESS], tick)
        if not is_full:
            return {IN_PROCESS: in_process}
        end_to_end = request.measure_end_to_end(factory, headers, folder, rounds[END_TO_END], tick)
    return {IN_PROCESS: in_process, END_TO_END: end_to_end}


def judge_ratio(costs: Costs, committed: float | None) -> dict[str, Any]:
    """Return the costs of bare and all, their ratio, and the verdict on it.

    Costs are in microseconds per request; `margin` belongs to the ratio.
    """
    ratio = measure.compute_ratio(costs, apps.ALL, apps.BARE)
    return {
        "bare_us": to_micros(measure.estimate(costs[apps.BARE]).value),
        "all_us": to_micros(measure.estimate(costs[apps.ALL]).value),
        "ratio": round(ratio.value, 2),
        "margin": round(ratio.margin, 2),
        "steady": measure.is_steady(ratio),
        "committed": committed,
        "verdict": measure.judge(ratio, committed),
    }


def is_steady(report: Report) -> bool:
    """Return whether every ratio is certain enough to be committed.

    A noisy ratio would judge later runs by chance.
    """
    return all(ratio["steady"] for row in report["requests"] for ratio in row["ratios"].values())
