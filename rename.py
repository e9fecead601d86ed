"""The rewriting behind `make rename NAME=…`: the product name in all tracked files and paths.

It imports the standard library alone and is run in the root of the checkout.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

VALID_NAME = r"[a-z][a-z0-9]{1,19}"
NOTHING_FOUND = 1  # exit code of git grep; failures of git are 128
SERVERS = "servers"  # downloaded servers in the state folder; they do not know the product
KEEP_NAME = ("LICENSE", "CHANGELOG.md")
HAVE_NO_NAME = ("requirements*.txt", "api/static/docs/swagger-ui*", "docs/template.md")
EXCLUDED = [f":(exclude){pattern}" for pattern in (*KEEP_NAME, *HAVE_NO_NAME)]


class Refused(Exception):
    """A reason not to rename, and its fix."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}\n  fix: {fix}")


def git(*arguments: str) -> list[str]:
    """Return the lines that a git command prints; raise Refused when it fails."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    result = subprocess.run(  # noqa: S603 - our own words
        command, capture_output=True, text=True, check=False
    )
    if result.returncode not in (0, NOTHING_FOUND):
        raise Refused(result.stderr.strip(), "clone the repository with git, and run it there")
    return result.stdout.splitlines()


def current_name() -> str:
    """Return the product name, which is the project's name in pyproject.toml."""
    [name] = re.findall(
        r'^name = "(\w+)"$', Path("pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    return str(name)


def files_containing(name: str) -> list[str]:
    """Return the tracked text files that contain `name` in any case."""
    return git("grep", "-I", "-i", "-l", "--fixed-strings", name, "--", ".", *EXCLUDED)


def paths_containing(name: str) -> list[str]:
    """Return the tracked paths that contain `name` in any case."""
    paths = git("ls-files", "--", ".", *EXCLUDED)
    return [path for path in paths if name in path.lower()]


def check_name(name: str) -> None:
    """Raise Refused when the name is malformed."""
    if not re.fullmatch(VALID_NAME, name):
        raise Refused(
            f"{name!r} cannot be a product name: it must match {VALID_NAME}",
            "make rename NAME=name, with a lower-case word of 2 to 20 letters and digits",
        )


def check_unambiguous(name: str) -> None:
    """Raise Refused when the tree contains the name, so that no later rename could find it."""
    occurrences = paths_containing(name) + files_containing(name)
    if occurrences:
        raise Refused(
            f"{name!r} already occurs in {len(occurrences)} files, for example {occurrences[0]}; "
            "a later rename could not tell these words from the product name",
            "choose a name that `git grep -i` does not find",
        )


def check_committed() -> None:
    """Raise Refused when git could not undo the rename."""
    changes = git("status", "--porcelain")
    if changes:
        raise Refused(
            f"{len(changes)} files are not committed, for example {changes[0][3:]}; "
            "git could not undo the rename",
            "git commit, or git stash --include-untracked",
        )


def check_unused(name: str) -> None:
    """Raise Refused when state, secrets or settings under the old name are in use."""
    prefix = name.upper() + "_"
    state = Path(os.environ.get(prefix + "STACK_DIR", ".stack"))
    if state.is_dir() and {path.name for path in state.iterdir()} - {SERVERS}:
        raise Refused(
            f"{state} holds the data of a stack, which is up or was stopped",
            "make clean (it stops the stack and deletes its data)",
        )
    secrets = Path(os.environ.get(prefix + "SECRETS_DIR", "secrets"))
    if secrets.is_dir() and any(secrets.iterdir()):
        raise Refused(
            f"{secrets} holds keys and passwords that were made under the old name",
            f"move {secrets} away; `make up` creates new ones",
        )
    database = Path(f"{name}.db")
    if database.exists():
        raise Refused(f"{database} is a database under the old name", f"move {database} away")
    settings = Path(".env")
    if settings.exists() and prefix in settings.read_text(encoding="utf-8"):
        raise Refused(
            f"{settings} sets variables that begin with {prefix}; git does not track it",
            f"move {settings} away, and rename its variables when you bring it back",
        )


def replace(text: str, old: str, new: str) -> str:
    """Return the text with the name replaced in lower case, upper case and capitalized."""
    for form in (str.lower, str.upper, str.capitalize):
        text = text.replace(form(old), form(new))
    return text


def rename(old: str, new: str) -> None:
    """Replace the name in the contents and paths of all tracked files."""
    for path in map(Path, files_containing(old)):
        text = path.read_bytes().decode()
        path.write_bytes(replace(text, old, new).encode())
    for name in paths_containing(old):
        target = Path(replace(name, old, new))
        target.parent.mkdir(parents=True, exist_ok=True)
        git("mv", name, str(target))


def main(new: str) -> None:
    """Check that the product can be renamed and rename it; exit 1 with the reason otherwise."""
    old = current_name()
    try:
        check_name(new)
        check_unambiguous(new)
        check_committed()
        check_unused(old)
    except Refused as refusal:
        sys.exit(str(refusal))
    rename(old, new)
    print(f"✓ {old} is now {new} (undo: git reset --hard)")


if __name__ == "__main__":
    main(sys.argv[1])
