"""The part of `make deploy` and `make rollback` that runs on the other machine.

client.py sends this file there; it runs with that machine's Python and needs nothing else of ours.

In ~/evara each release has a folder below `releases`, and `current` is a link to the one that
serves; the link `previous` in a release leads to the one that served before it. State, secrets,
backups and the user's own files are shared: each release has links to them.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import starmap
from pathlib import Path
from typing import NoReturn

FOLDER = (Path.home() / "evara").resolve()
LOG = FOLDER / "deploy.log"
READY = "evara: ready"  # lines for client.py, which shows all others
SEND = "evara: send the archive"
KEPT = 3  # releases to which a rollback can go back
NEEDED_MEGABYTES = 2_000
LINKS = {  # in a release → in FOLDER
    ".stack": "state",
    "secrets": "secrets",
    "backups": "backups",
    ".env": ".env",
    "compose.override.yaml": "compose.override.yaml",
}
SETTINGS = "release.env"  # of one release, which observability/devstack/user_settings.py reads
QUERY_SECONDS = 20
STDOUT = 1
PROGRAMS = (  # name, command, oldest version, fix
    (
        "Docker",
        "docker version --format {{.Server.Version}}",
        (20, 10),
        "start Docker 20.10 or newer, and let this user use it: sudo usermod -aG docker USER",
    ),
    (
        "Docker Compose",
        "docker compose version --short",
        (2, 24, 6),
        "install Docker's Compose plugin, 2.24.6 or newer",
    ),
    ("git", "git --version", (), "sudo apt install git"),
    ("make", "make --version", (), "sudo apt install make"),
    ("venv", "python3 -m ensurepip --version", (), "sudo apt install python3-venv"),
)


def main(action: str, *names: str) -> None:
    """Deploy a release, or go back to the one before; exit with a reason if that is impossible."""
    problems = list(find_problems(action))
    if problems:
        sys.exit("\n".join(problems))
    lock = take_lock()
    LOG.write_bytes(b"")
    releases = served()
    if action == "release":
        release = FOLDER / "releases" / names[0]
        remove_old_releases(release)
        if release.exists():
            print(READY, flush=True)
        else:
            print(SEND, flush=True)
            receive(release)
        bring_up(release, lock, before=releases[:1])
    elif len(releases) < 2:
        sys.exit(
            f"✗ {FOLDER} has no release before the present one;"
            " fix: make deploy TO=user@machine REF=tag, with a tag that worked"
        )
    else:
        print(READY, flush=True)
        bring_up(releases[1], lock)


def find_problems(action: str) -> Iterator[str]:
    """Yield what keeps this machine from running a release, with a fix."""
    yield from filter(None, starmap(find_problem, PROGRAMS))
    free = shutil.disk_usage(Path.home()).free >> 20
    if action == "release" and free < NEEDED_MEGABYTES:
        yield f"✗ {Path.home()} has {free} MB free; fix: make it {NEEDED_MEGABYTES} MB"


def find_problem(name: str, command: str, oldest: tuple[int, ...], fix: str) -> str:
    """Return what is wrong with a program that a release needs, "" if nothing is."""
    problem = ""
    try:
        answer = run(*command.split(), timeout=QUERY_SECONDS)
        if answer.returncode:
            problem = f"does not work: {answer.stderr.strip()}"
        elif tuple(map(int, re.findall(r"\d+", answer.stdout)[:3])) < oldest:
            problem = f"{answer.stdout.strip()} is too old"
    except FileNotFoundError:
        problem = "is missing"
    except subprocess.TimeoutExpired:
        problem = "does not answer"
    return problem and f"✗ {name} {problem}; fix: {fix}"


def run(*command: str, timeout: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a program, which may read our input, and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)  # noqa: S603


def take_lock() -> int:
    """Return the descriptor of a lock, which keeps other deploys out, or exit with the reason."""
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o700)
    lock = os.open(FOLDER / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"✗ another deploy or rollback runs there; fix: wait for the last line of {LOG}")
    return lock


def served() -> list[Path]:
    """Return the releases that served and still exist: the current one, the one before it, …"""
    releases: list[Path] = []
    link = FOLDER / "current"
    while link.exists() and link.resolve() not in releases:
        releases.append(link.resolve())
        link = releases[-1] / "previous"
    return releases


def remove_old_releases(wanted: Path) -> None:
    """Remove other releases than `wanted` and the newest that served, and their images."""
    wanted.parent.mkdir(exist_ok=True)
    for release in {*wanted.parent.iterdir()} - {wanted, *served()[:KEPT]}:
        images = ("--filter", f"reference=*:{release.name}", "--format", "{{.Repository}}:{{.Tag}}")
        run("docker", "image", "rm", *run("docker", "image", "ls", *images).stdout.split())
        shutil.rmtree(release)


def receive(release: Path) -> None:
    """Unpack the archive on our input; exit with a reason, and leave nothing, if it is cut off."""
    draft = release.with_name("incoming")
    draft.mkdir()
    unpacked = run("tar", "-xzf", "-", "-C", str(draft))
    if unpacked.returncode:
        shutil.rmtree(draft)
        stop(f"the archive did not arrive as a whole; nothing was changed: {unpacked.stderr}")
    for link, target in LINKS.items():
        (draft / link).symlink_to(Path("../..", target))
    for folder in ("state", "secrets", "backups"):
        (FOLDER / folder).mkdir(mode=0o700, exist_ok=True)
    (draft / SETTINGS).write_text(f"EVARA_VERSION={release.name}\n", encoding="utf-8")
    draft.rename(release)


def bring_up(release: Path, lock: int, before: Sequence[Path] = ()) -> None:
    """Run the release's `make up`, and link `current` to it if it serves, else exit."""
    exit_code = make_up(release, lock)
    if exit_code and not (served() and has_settings(release)):
        stop(f"{release.name} failed, `current` is as before; fix: see above, or {LOG}")
    if before and before[0] != release:
        replace_link(release / "previous", Path("..", before[0].name))
    replace_link(FOLDER / "current", Path("releases", release.name))
    if exit_code:
        stop(
            f"{release.name} serves, but a later step of `make up` failed; fix: see above, or"
            f" {LOG}; then deploy it again, or go back: make rollback"
        )
    tell(f"✓ {FOLDER / 'current'} is {release.name}")


def make_up(release: Path, lock: int) -> int:
    """Run `make up` in a release, which keeps the lock; return its exit code."""
    with subprocess.Popen(
        ["make", "up", "MODE=compose"],  # noqa: S607 - that of this machine
        cwd=release,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[lock],
        text=True,
        errors="replace",
    ) as make:
        for line in make.stdout or ():
            tell(line.rstrip())
    return make.returncode


def has_settings(release: Path) -> bool:
    """Return whether the settings of the stack are those of a release.

    `make up` writes them, and restores those of the old release if it takes a new one back.
    """
    settings = (FOLDER / "state" / "compose").glob("*/.env")
    root = f'MAKE_UP_ROOT="{release}"\n'
    return any(root in path.read_text(encoding="utf-8") for path in settings)


def replace_link(link: Path, target: Path) -> None:
    """Make a link, or replace it in one step."""
    draft = link.with_name(f"{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


def stop(text: str) -> NoReturn:
    """Say why the release is not done, and exit."""
    tell(f"✗ {text.strip()}")
    sys.exit(1)


def tell(text: str) -> None:
    """Log a line and show it, unless client.py is gone: the release goes on without it."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"{text}\n")
    with suppress(OSError):
        os.write(STDOUT, f"{text}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
