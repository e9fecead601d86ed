"""YAML files as data, with the line of every key and the problems of their form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from observability.spec.problems import Problem

KeyPath = tuple[str, ...]
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where it is installed


@dataclass
class Document:
    """The data of one file, and the places of its keys.

    `lines` has the line of each key by its path, from 1; elements of lists count from 0.
    """

    name: str
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, *path: str | int) -> str:
        """Return `file:line: key.path`; a missing key has the line of the nearest key above it."""
        keys = tuple(map(str, path))
        known = keys
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        key = ".".join(keys) or "the whole file"
        return f"{self.name}:{line}: {key}"


def read_document(path: Path, edit: Callable[[str], str] = str) -> Document:
    """Return the data of the file's edited text; a file that cannot be read has only problems."""
    document = Document(path.name)
    try:
        loader = Loader(edit(path.read_text(encoding="utf-8")))
        root = loader.get_single_node()
        if root is not None:
            document.data = loader.construct_document(root)
            index_lines(document, root)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        fix = "name the file with --catalogue or --policy"
        document.problems.append(Problem(str(path), reason, fix))
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a date such as 2026-13-01
        document.problems.append(describe_syntax_error(path.name, error))
    else:
        if document.data is None:
            document.problems.append(Problem(path.name, "is empty", "see docs/catalogue.md"))
    return document


def describe_syntax_error(name: str, error: Exception) -> Problem:
    """Return the problem of a file that is no YAML, with its line where the parser knows it."""
    where = name
    mark = getattr(error, "problem_mark", None)
    if mark:
        where = f"{name}:{mark.line + 1}"
    reason = getattr(error, "problem", None) or error
    fix = "correct that line; quote texts with : ? # or brackets"
    return Problem(where, f"is not YAML: {reason}", fix)


def index_lines(document: Document, root: yaml.Node) -> None:
    """Fill the document's lines, and add a problem for each key that a mapping has twice.

    YAML keeps the last value of a repeated key without a word.
    """
    document.lines[()] = line_of(root)
    duplicates: set[KeyPath] = set()
    for path, line in list_keys(root, (), set()):
        first_line = document.lines.get(path)
        document.lines[path] = line
        parent = path[:-1]
        if parent in duplicates:  # everything below a repeated key is likely to repeat, too
            duplicates.add(path)
        elif first_line is not None:
            duplicates.add(path)
            message = f"the key {path[-1]!r} is written twice, first in line {first_line}"
            problem = Problem(document.where(*path), message, "rename or remove one of the two")
            document.problems.append(problem)


def list_keys(node: yaml.Node, path: KeyPath, visited: set[int]) -> Iterator[tuple[KeyPath, int]]:
    """Yield path and line of every key and list element below `node`.

    What an alias repeats is left out: its keys have their lines where the anchor is.
    """
    if id(node) in visited:
        return
    visited.add(id(node))
    for key, line, child in list_children(node):
        child_path = (*path, key)
        yield child_path, line
        yield from list_keys(child, child_path, visited)


def list_children(node: yaml.Node) -> Iterator[tuple[str, int, yaml.Node]]:
    """Yield key, line and value of a mapping, or index, line and element of a list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), line_of(key), value
    elif isinstance(node, yaml.SequenceNode):
        for index, element in enumerate(node.value):
            yield str(index), line_of(element), element


def line_of(node: yaml.Node) -> int:
    """Return the line in which a node begins, from 1."""
    line: int = node.start_mark.line
    return line + 1
