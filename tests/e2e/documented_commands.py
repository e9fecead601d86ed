"""The commands of the documentation that a reader types: blocks, and commands in the text.

`docs/adr` is left out: it records what was measured when a decision was made.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from observability.devstack.layout import ROOT

PROGRAMS = r"make|docker|curl|flask|python|\.venv/bin/\S+|git|export|sed|grep|ssh|pytest|promtool"
COMMAND = re.compile(rf"^(?:[A-Z]\w*=\S+ )*(?:{PROGRAMS}) +\S|^for \w+ in ", re.MULTILINE)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4,}\S.*)\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
# Of the compose stack; test_compose.py runs these of docs/operations.md and the catalogue.
ON_COMPOSE = re.compile(
    r"^(COMPOSE_\w+=\S+ )*(docker (compose|volume) \S|make (up|backup|restore)\b)", re.MULTILINE
)
HEADING = re.compile(r"^##+ (.*)$", re.MULTILINE)
TARGETS = {"make up", "make restore"}  # which the text names without running them


class Command(NamedTuple):
    """A command, or the commands of a block, as they are written on a page."""

    page: str
    section: str  # its heading, "" above the first
    kind: str  # sh or console for a fenced block, indented, or inline
    text: str


def commands_of_pages() -> list[Command]:
    """Return the commands of README, CONTRIBUTING, SECURITY and the pages in docs."""
    names = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
    pages = [ROOT / name for name in names] + sorted((ROOT / "docs").glob("*.md"))
    return [command for page in pages for command in commands_of_page(page)]


def commands_of_page(path: Path) -> list[Command]:
    """Return the commands of a page in order: fenced blocks, indented ones, and in the text."""
    text = path.read_text(encoding="utf-8")
    found: list[tuple[int, str, str]] = []  # position, kind and command
    for match in FENCED.finditer(text):
        if match[1] in ("sh", "console"):
            found.append((match.start(), match[1], match[2]))
    text = FENCED.sub(blank, text)
    for match in INDENTED.finditer(text):
        block = without_indent(match[0])
        if COMMAND.search(block):
            found.append((match.start(), "indented", block))
    text = INDENTED.sub(blank, text)
    for match in INLINE.finditer(text):
        if COMMAND.search(match[1]):
            found.append((match.start(), "inline", match[1]))
    headings = [(match.start(), match[1]) for match in HEADING.finditer(text)]
    return [
        Command(path.name, last_before(start, headings), kind, command)
        for start, kind, command in sorted(found)
    ]


def blank(match: re.Match[str]) -> str:
    """Return spaces in place of a text, so that the positions of others stay."""
    return re.sub(r"[^\n]", " ", match[0])


def last_before(position: int, headings: Iterable[tuple[int, str]]) -> str:
    """Return the last heading before a position, "" without one."""
    return next((text for start, text in reversed([*headings]) if start < position), "")


def without_indent(block: str) -> str:
    """Return a block without the indent of its first line."""
    lines = block.splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines)


def blocks_of_page(path: Path, section: str = "") -> list[str]:
    """Return the shell's blocks of a page, or of one of its sections."""
    return [
        command.text
        for command in commands_of_page(path)
        if command.kind == "sh" and section in ("", command.section)
    ]


def typed_lines(command: Command) -> str:
    """Return what a reader types: of a console block, the lines behind its prompts."""
    if command.kind != "console":
        return command.text
    prompts = [line for line in command.text.splitlines() if line.startswith("$ ")]
    return "\n".join(line.removeprefix("$ ") for line in prompts)


def printed_lines(command: Command) -> list[re.Pattern[str]]:
    """Return patterns of the output in a console block; numbers and spaces may differ."""
    if command.kind != "console":
        return []
    lines = [line for line in command.text.splitlines() if not line.startswith("$ ")]
    return [output_pattern(line) for line in lines if "…" not in line]


def output_pattern(line: str) -> re.Pattern[str]:
    """Return a pattern of a line in which numbers and spaces may differ."""
    words = (re.sub(r"\d+(?:\\\.\d+)?", r"[\\d.]+", re.escape(word)) for word in line.split())
    return re.compile(r"\s+".join(words))


def compose_commands(path: Path) -> dict[str, list[str]]:
    """Return the commands of a page that operate the compose stack, by section, in order."""
    sections: dict[str, list[str]] = {}
    for command in commands_of_page(path):
        is_run = command.kind != "indented" and command.text not in TARGETS
        if is_run and ON_COMPOSE.search(command.text):
            sections.setdefault(command.section, []).append(command.text)
    return sections
