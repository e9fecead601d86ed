"""The runs of the rules benchmark: each number of routes on two clocks, and the compiler."""

import re
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from loadtests.bench.report import describe_machine
from loadtests.bench.rules import history, templates
from loadtests.bench.rules.compiler import CATALOGUE, RULES, compile_service
from loadtests.bench.rules.servers import NO_RULES, SCRAPES, measure, run_prometheus
from loadtests.bench.rules.service import serve_metrics
from observability.devstack.binaries import ensure_servers
from observability.devstack.layout import servers_folder
from observability.devstack.scratch import scratch_folder
from observability.spec import names
from observability.spec.loading import load_plan

OURS, SLOTH, SCRAPING = "ours", "Sloth", "scraping"  # servers; the last has no rules
OWN_CLOCK, SLOTH_CLOCK = "own", "30s"
NO_PAST, LONG_PAST = "none", "30 days"
FASTER = re.compile(r"(?<=^  interval: )(\d+ms|[12]?\ds)$", re.MULTILINE)  # of a generated group
SETTLING_SHARE = 0.3  # of a run, before it, so that every group has been evaluated
Report = dict[str, Any]


class Size:
    """One number of routes, whose files are in a folder."""

    def __init__(self, count: int, folder: Path):
        self.folder = folder
        self.routes = [f"things.r{number}" for number in range(count)]
        self.commands = compile_service(self.routes, folder)
        plan = load_plan(folder / CATALOGUE)
        self.edges = plan.bucket_edges
        ours = (folder / RULES).read_text(encoding="utf-8")
        sloth = templates.render("sloth.yaml", service=plan.service, slos=plan.slos)
        self.rules = {OURS: ours, SLOTH: sloth, SCRAPING: NO_RULES}

    def write_past(self) -> None:
        """Write 30 days before what the servers had at the end of the last run."""
        now = int(time.time())
        for name in (OURS, SLOTH):
            with run_prometheus(self.folder / OWN_CLOCK / name, {}, NO_RULES) as client:
                past = history.collect(client, self.rules[name], now)
            history.write_blocks(past, self.folder / LONG_PAST / name, now)

    def measure(self, clock: str, past: str, seconds: int) -> Report:
        """Run the servers side by side on a clock, and return what each costs."""
        folder = self.folder / (clock if past == NO_PAST else past)
        with ExitStack() as stack:
            metrics = stack.enter_context(serve_metrics(self.routes, self.edges))
            clients = {}
            for name, text in self.rules.items():
                rules = text if clock == OWN_CLOCK else FASTER.sub(SLOTH_CLOCK, text)
                server = run_prometheus(folder / name, {names.SCRAPE_API: metrics}, rules)
                clients[name] = stack.enter_context(server)
            urls = {name: client.url for name, client in clients.items()}
            every = f"{seconds // SCRAPES}s"
            server = run_prometheus(folder / "observer", urls, NO_RULES, every)
            observer = stack.enter_context(server)
            time.sleep(seconds * (1 + SETTLING_SHARE))
            costs = measure(observer, seconds)
        return {"routes": len(self.routes), "past": past, "clock": clock, "servers": costs}


def run_benchmark(sizes: tuple[int, ...], with_past: int, seconds: int) -> Report:
    """Return the report; raise RuntimeError or CalledProcessError where something fails.

    `with_past` is the number of routes that is measured with 30 days of the past, too.
    """
    tell = partial(click.echo, err=True)
    ensure_servers(servers_folder(), tell)
    runs, commands = [], []
    for count in sizes:
        with scratch_folder("evara-bench-") as folder:
            tell(f"{count} routes: generate and check")
            size = Size(count, folder)
            commands.append({"routes": count, "costs": size.commands})
            for past in (NO_PAST, LONG_PAST)[: 1 + (count == with_past)]:
                if past == LONG_PAST:
                    size.write_past()
                for clock in (SLOTH_CLOCK, OWN_CLOCK):
                    tell(f"{count} routes, past: {past}, clock: {clock}")
                    runs.append(size.measure(clock, past, seconds))
    return {"machine": describe_machine(), "seconds": seconds, "runs": runs, "commands": commands}
