"""docs/api.md: every command runs against the stack, from top to bottom, as written."""

import re
import subprocess
from pathlib import Path

import pytest

from observability.devstack.layout import ROOT
from tests.e2e.conftest import Stack

BLOCKS = re.findall(
    r"^```sh\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.M | re.S
)
EXPECTED = re.compile(r"^# → (.*)$", re.M)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that carries the shell variables from one block to the next."""
    path = tmp_path_factory.mktemp("shell") / "variables"
    path.touch()
    return path


def test_every_block_has_expected_output() -> None:
    """More than 20 blocks are found, each with the output to expect."""
    assert len(BLOCKS) > 20
    assert [block for block in BLOCKS if not EXPECTED.search(block)] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", "-", block[:60]))
def test_commands_print_the_documented_output(stack: Stack, variables: Path, block: str) -> None:
    """The texts after each arrow occur in the block's output, in this order."""
    ports = stack.layout.ports
    replacements = {
        "localhost:8000": f"localhost:{ports['api']}",
        "localhost:8091": f"localhost:{ports['replay']}",
        "$PWD/.stack": str(stack.layout.state),
    }
    for written, real in replacements.items():
        block = block.replace(written, real)
    script = f"set -a; . {variables}\n{block}\nexport -p > {variables}"
    result = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    position = 0
    for text in EXPECTED.findall(block):
        start = result.stdout.find(text, position)
        assert start >= 0, (
            f"{text!r} is not in the output of\n{block}\n{result.stdout}{result.stderr}"
        )
        position = start + len(text)
