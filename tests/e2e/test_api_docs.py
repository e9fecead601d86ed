"""docs/api.md is true.

Every command in it runs against the stack, from top to bottom, and answers what stands below it.
"""

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
    """What one block sets, the next ones know, as in the reader's shell."""
    path = tmp_path_factory.mktemp("shell") / "variables"
    path.touch()
    return path


def test_there_is_something_to_run() -> None:
    """Blocks are found, and each says what is to be seen."""
    assert len(BLOCKS) > 20
    assert [block for block in BLOCKS if not EXPECTED.search(block)] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", "-", block[:60]))
def test_a_command_answers_as_written(stack: Stack, variables: Path, block: str) -> None:
    """The texts after each arrow occur in the block's output, in this order."""
    ports = stack.layout.ports
    here = {
        "localhost:8000": f"localhost:{ports['api']}",
        "localhost:8091": f"localhost:{ports['replay']}",
        "$PWD/.stack": str(stack.layout.state),
    }
    for written, real in here.items():
        block = block.replace(written, real)
    script = f"set -a; . {variables}\n{block}\nexport -p > {variables}"
    result = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    position = 0
    for text in EXPECTED.findall(block):
        found = result.stdout.find(text, position)
        assert found >= 0, (
            f"{text!r} is not in the output of\n{block}\n{result.stdout}{result.stderr}"
        )
        position = found + len(text)
