"""A git repository with the files that the audit reads."""

import subprocess
from pathlib import Path

from observability.audit.packages import LOCKS

PYPROJECT = '[project]\nname = "audited"\nversion = "1.0"\n'
PIN = "{}=={} \\\n    --hash=sha256:" + "0" * 64 + "\n"


class Repository:
    """A git repository with the three locks."""

    def __init__(self, root: Path):
        self.root = root
        self.git("init", "--quiet")
        self.write("pyproject.toml", PYPROJECT)
        for lock in LOCKS:
            self.write(lock, PIN.format("flask", "3.1.0"))
        self.commit()

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *words]
        return subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, check=True
        ).stdout

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")

    def pin(self, lock: str, name: str, version: str, marker: str = "") -> None:
        """Add a pin to a lock, for some systems or versions of Python alone."""
        text = (self.root / lock).read_text(encoding="utf-8")
        if marker:
            version += f" ; {marker}"
        self.write(lock, text + PIN.format(name, version))
