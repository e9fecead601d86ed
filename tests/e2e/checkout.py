"""Copies of the checkout, as repositories of their own."""

import shutil
from pathlib import Path

from observability.devstack.layout import ROOT
from tests.e2e.shell import run_script

SHARED = (".venv", ".stack/servers")  # links to those of the checkout


def copy_checkout(folder: Path) -> Path:
    """Make a repository with the tracked files as they are in the checkout; return its folder."""
    for name in run_script(ROOT, "git ls-files").splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name in SHARED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    run_script(folder, "git init -q && git config user.name x && git config user.email x@localhost")
    run_script(folder, "git add --all && git commit -qm x")
    return folder
