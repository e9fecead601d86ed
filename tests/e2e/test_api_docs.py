"""docs/api.md: every command runs against the stack, from top to bottom, as written."""

import re

import pytest

from observability.devstack.layout import ROOT
from tests.e2e.conftest import Stack
from tests.e2e.documented_commands import blocks_of_page
from tests.e2e.shell import Shell

BLOCKS = blocks_of_page(ROOT / "docs" / "api.md")
EXPECTED = re.compile(r"^# → (.*)$", re.M)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> Shell:
    """Return the shell that runs one block after the other."""
    return Shell(ROOT, tmp_path_factory.mktemp("shell") / "variables", stack.layout.ports)


def test_every_block_has_expected_output() -> None:
    """More than 20 blocks are found, each with the output to expect."""
    assert len(BLOCKS) > 20
    assert [block for block in BLOCKS if not EXPECTED.search(block)] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", "-", block[:60]))
def test_commands_print_the_documented_output(stack: Stack, shell: Shell, block: str) -> None:
    """The texts after each arrow occur in the block's output, in this order."""
    output = shell.run(block.replace("$PWD/.stack", str(stack.layout.state))).stdout
    position = 0
    for text in EXPECTED.findall(block):
        start = output.find(text, position)
        assert start >= 0, f"{text!r} is not in the output of\n{block}\n{output}"
        position = start + len(text)
