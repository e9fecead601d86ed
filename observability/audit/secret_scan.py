"""Secrets in the files of the tree and in every commit, found by kingfisher without a network."""

import hashlib
import json
from pathlib import Path

from observability.audit.advisories import Advisories
from observability.audit.results import CouldNotTell, Finding, Result, judge, run_tool
from observability.lib.json_object import Json

CHECK = "secrets"
OPTIONS = (
    *("--no-validate", "--no-update-check"),  # sends no secret to anybody, asks for no release
    *("--no-ignore", "--quiet", "--format=json"),
)
FOUND = 200  # exit code
TREE = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")  # what may be committed
ID_LENGTH = 16  # hexadecimal digits


def check(root: Path, _: Advisories) -> Result:
    """Scan the files that git does not ignore, and all commits."""
    history = root / run_tool(root, "git", "rev-parse", "--git-common-dir").strip()
    if (history / "shallow").exists():
        raise CouldNotTell("a shallow clone lacks most commits; fix: git fetch --unshallow")
    names = run_tool(root, "git", *TREE).split("\0")
    files = [name for name in names if (root / name).is_file()]
    hits = scan(root, "--git-history=none", *files) + scan(root, str(history))
    commits = run_tool(root, "git", "rev-list", "--all", "--count").strip()
    finding_by_ids = {finding.ids: finding for finding in map(describe, reversed(hits))}
    return judge(CHECK, f"{len(files)} files, {commits} commits", list(finding_by_ids.values()))


def scan(root: Path, *words: str) -> list[Json]:
    """Return what kingfisher finds; raise CouldNotTell unless it has read everything."""
    report = json.loads(run_tool(root, "kingfisher", "scan", *OPTIONS, *words, found=FOUND))
    counts = report["audit"]["summary"]
    if not 0 < counts["discovered"] == counts["scan_succeeded"]:
        raise CouldNotTell(f"kingfisher could not read everything: {counts}; fix: git fsck")
    return list(report["findings"])


def describe(hit: Json) -> Finding:
    """Return the finding for a secret at one place; its id is a digest, and it is not printed."""
    found = hit["finding"]
    secret_id = hashlib.sha256(found["snippet"].encode()).hexdigest()[:ID_LENGTH]
    where = f"{found['path']}:{found['line']}"
    if "git_metadata" in found:
        where += f" in commit {found['git_metadata']['commit']['id'][:12]}"
    accepting = f"accept {secret_id} in observability/audit.yaml"
    fix = f"revoke it, then remove it; if it is public or revoked, {accepting}"
    return Finding(where, hit["rule"]["description"], fix, CHECK, (secret_id,))
