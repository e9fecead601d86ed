"""The software bill of materials of each lock, in CycloneDX format."""

from pathlib import Path

from observability.audit.advisories import Advisories
from observability.audit.packages import LOCKS
from observability.audit.results import Result, judge, run_tool

CHECK = "sbom"
FOLDER = Path("reports", "sbom")
OPTIONS = ("--pyproject=pyproject.toml", "--output-reproducible", "--validate")


def check(root: Path, _: Advisories) -> Result:
    """Write a valid file for each lock."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for lock in LOCKS:
        path = FOLDER / f"{lock.removesuffix('.txt').replace('/', '-')}.cdx.json"
        run_tool(root, "cyclonedx-py", "requirements", lock, *OPTIONS, f"--output-file={path}")
    return judge(CHECK, f"{FOLDER} lists the packages of {len(LOCKS)} locks", [])
