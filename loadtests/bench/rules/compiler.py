"""A synthetic service as files, and the cost of `generate` and `check` over them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from loadtests.bench.rules import templates
from observability.checks.lint import PROMETHEUS_CONFIG
from observability.devstack.layout import ROOT
from observability.generate import prometheus
from observability.generate.registry import GENERATED
from observability.lib.bound_process import bind

CATALOGUE = "catalogue.yaml"
CONTRACT = "openapi.json"
OUT = "out"  # the folder of generated files
RULES = Path(OUT) / GENERATED / prometheus.RULES


def compile_service(routes: list[str], folder: Path) -> list[dict[str, Any]]:
    """Declare a service in a folder, compile it, and return what both commands cost.

    Raise RuntimeError when `generate` fails.
    """
    for name in (CATALOGUE, CONTRACT):
        templates.write(name, folder, routes=routes)
    generate = run_command("generate", folder)
    if generate["exit_code"]:
        raise RuntimeError("generate fails")
    sizes = [path.stat().st_size for path in (folder / OUT).rglob("*.*")]
    generate |= {"files": len(sizes), "bytes": sum(sizes)}
    config = folder / OUT / PROMETHEUS_CONFIG  # `check` compares its clock
    config.parent.mkdir(parents=True)
    shutil.copy(ROOT / PROMETHEUS_CONFIG, config)
    return [generate, run_command("check", folder)]


def run_command(name: str, folder: Path) -> dict[str, Any]:
    """Run `python -m observability NAME` in a folder, and return what it cost.

    CPU seconds include those of the programs that it starts.
    """
    command = [sys.executable, "-m", "observability", name, f"--out={OUT}"]
    before = os.times()
    result = subprocess.run(  # noqa: S603
        bind([*command, f"--catalogue={CATALOGUE}", f"--openapi={CONTRACT}"]),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    after = os.times()
    return {
        "command": name,
        "cpu_seconds": sum(after[2:4]) - sum(before[2:4]),  # of children, user and system
        "exit_code": result.returncode,
    }
