"""The rewriting behind `make rename`, in a small repository whose product is named oldname."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "rename.py"
FILES = {
    "pyproject.toml": '[project]\nname = "oldname"\n',
    "README.md": "# Oldname\nSet OLDNAME_PORT, then start oldname-api.\r\n",
    "deploy/oldname/oldname.conf": "role oldname; key oldname_x1\n",
    "LICENSE": "the Oldname developers\n",
    "CHANGELOG.md": "- OLDNAME_PORT is new.\n",
    ".gitignore": ".stack\nsecrets/\n.env\n*.db\n",
}
BINARY = b"\x89PNG\0oldname"


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return result.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a checkout without uncommitted changes."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (tmp_path / "logo.png").write_bytes(BINARY)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "x")


def rename(repository: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), name],
        cwd=repository,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def is_refused(repository: Path, name: str, *texts: str, **environment: str) -> bool:
    """Return whether a rename exits 1 with the texts and a fix, and changes no tracked file."""
    before = git(repository, "status", "--porcelain")
    result = rename(repository, name, **environment)
    assert git(repository, "status", "--porcelain") == before
    assert [text for text in (*texts, "\n  fix: ") if text not in result.stderr] == []
    return result.returncode == 1


def test_every_form_of_the_name_is_replaced(repository: Path) -> None:
    """Lower case, upper case and capitalized, in contents and paths; line ends stay."""
    result = rename(repository, "zebra")
    assert (result.returncode, result.stderr) == (0, "")
    assert (repository / "README.md").read_bytes() == (
        b"# Zebra\nSet ZEBRA_PORT, then start zebra-api.\r\n"
    )
    moved = repository / "deploy" / "zebra" / "zebra.conf"
    assert moved.read_text(encoding="utf-8") == "role zebra; key zebra_x1\n"
    assert not (repository / "deploy" / "oldname" / "oldname.conf").exists()


def test_licence_changelog_and_binary_files_stay(repository: Path) -> None:
    """They are the only files that still contain the old name."""
    assert rename(repository, "zebra").returncode == 0
    assert git(repository, "grep", "-i", "-l", "oldname").split() == [
        "CHANGELOG.md",
        "LICENSE",
        "logo.png",
    ]
    assert (repository / "logo.png").read_bytes() == BINARY


def test_git_reset_undoes_a_rename(repository: Path) -> None:
    """After `git reset --hard` every file is as it was."""
    assert rename(repository, "zebra").returncode == 0
    git(repository, "reset", "--quiet", "--hard")
    assert git(repository, "status", "--porcelain") == ""
    for name, text in FILES.items():
        assert (repository / name).read_bytes() == text.encode()


def test_a_product_can_be_renamed_again(repository: Path) -> None:
    """The next rename replaces the name that the last one set, also by the first name."""
    for name in ("zebra", "zebra2", "oldname"):
        assert rename(repository, name).returncode == 0
        commit(repository)
    for name, text in FILES.items():
        assert (repository / name).read_bytes() == text.encode()


@pytest.mark.parametrize(
    "name", ["", "z", "Zebra", "2zebra", "ze-bra", "ze_bra", "zebra\n", "zèbre", "z" * 21]
)
def test_a_malformed_name_is_refused(repository: Path, name: str) -> None:
    """The message of a malformed name has the pattern that names must match."""
    assert is_refused(repository, name, "[a-z][a-z0-9]{1,19}")


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("oldname", "deploy/oldname/oldname.conf"),
        ("name", "deploy/oldname/oldname.conf"),
        ("deploy", "deploy/oldname/oldname.conf"),
        ("port", "README.md"),
    ],
)
def test_a_name_that_occurs_is_refused(repository: Path, name: str, example: str) -> None:
    """A name that occurs in the tree is refused, because it could not be renamed again."""
    assert is_refused(repository, name, f"{name!r} already occurs in", example)


@pytest.mark.parametrize("name", ["README.md", "notes.txt"])
def test_uncommitted_changes_are_refused(repository: Path, name: str) -> None:
    """A changed or new file is refused, because git could not tell its changes from the rename."""
    (repository / name).write_text("x\n", encoding="utf-8")
    assert is_refused(repository, "zebra", f"1 files are not committed, for example {name}")


def test_a_tree_without_git_is_refused(tmp_path: Path) -> None:
    """An unpacked archive is refused: nothing would undo the rename."""
    (tmp_path / "pyproject.toml").write_text(FILES["pyproject.toml"], encoding="utf-8")
    result = rename(tmp_path, "zebra")
    assert result.returncode == 1
    assert "not a git repository" in result.stderr
    assert "fix: clone" in result.stderr


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        (".stack/mode", "native", ".stack holds the data of a stack"),
        ("secrets/load_key", "oldname_x", "secrets holds keys and passwords"),
        ("oldname.db", "", "oldname.db is a database"),
        (".env", "OLDNAME_PORT=1\n", ".env sets variables that begin with OLDNAME_"),
    ],
)
def test_state_with_the_old_name_is_refused(
    repository: Path, path: str, text: str, reason: str
) -> None:
    """State, keys, a database and settings, which git does not track, are refused."""
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_text(text, encoding="utf-8")
    assert is_refused(repository, "zebra", reason)


@pytest.mark.parametrize("folder", ["STACK_DIR", "SECRETS_DIR"])
def test_folders_elsewhere_are_examined(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, folder: str
) -> None:
    """State and secrets are searched in the folders that the stack's variables name."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").touch()
    assert is_refused(repository, "zebra", str(elsewhere), **{f"OLDNAME_{folder}": str(elsewhere)})


def test_a_checkout_without_a_stack_is_accepted(repository: Path) -> None:
    """Downloaded servers, an empty folder of secrets and other settings are accepted."""
    (repository / ".stack" / "servers").mkdir(parents=True)
    (repository / "secrets").mkdir()
    (repository / ".env").write_text("OTHER=1\n", encoding="utf-8")
    assert rename(repository, "zebra").returncode == 0
