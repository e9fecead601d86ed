"""YAML files as data, with the line of every key and the problems of their form."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from observability.spec.problems import Problem

KeyPath = tuple[str, ...]
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where it is installed


@dataclass
class Document:
    """The data of one file, and the places of its keys."""

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
        key = ".".join(keys) or "the whole file"
        return f"{self.name}:{self.lines.get(known, 1)}: {key}"


def read_document(path: Path) -> Document:
    """Return the file's data; a file that cannot be read has none, only problems."""
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        data = None if root is None else loader.construct_document(root)
    except OSError as error:
        fix = "name the file with --catalogue or --policy"
        problem = Problem(str(path), error.strerror or "cannot be read", fix)
        return Document(path.name, problems=[problem])
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return Document(path.name, problems=[not_yaml(path, error)])
    if data is None:
        problem = Problem(path.name, "is empty", "see docs/catalogue.md")
        return Document(path.name, problems=[problem])
    document = Document(path.name, data)
    index_lines(document, root)
    return document


def not_yaml(path: Path, error: Exception) -> Problem:
    """Return the problem of a file that is no YAML, with its line where the parser knows it."""
    mark = getattr(error, "problem_mark", None)
    where = f"{path.name}:{mark.line + 1}" if mark else path.name
    reason = getattr(error, "problem", None) or error
    fix = "correct that line; quote texts with : ? # or brackets"
    return Problem(where, f"is not YAML: {reason}", fix)


def index_lines(document: Document, root: yaml.Node) -> None:
    """Fill the document's lines, and add a problem for each key that a mapping has twice."""
    document.lines[()] = root.start_mark.line + 1
    duplicates: set[KeyPath] = set()
    for path, line in key_lines(root, (), set()):
        first = document.lines.get(path)
        document.lines[path] = line
        if path[:-1] in duplicates:  # everything below a repeated key is likely to repeat, too
            duplicates.add(path)
        elif first is not None:
            duplicates.add(path)
            message = f"the key {path[-1]!r} is written twice, first in line {first}"
            fix = "rename or remove one of the two"
            document.problems.append(Problem(document.where(*path), message, fix))


def key_lines(node: yaml.Node, path: KeyPath, visited: set[int]) -> Iterator[tuple[KeyPath, int]]:
    """Yield path and line of every key and list element below `node`.

    What an alias repeats is left out: its keys have their lines where the anchor is.
    """
    if id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        children = [(key, str(key.value), value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(value, str(index), value) for index, value in enumerate(node.value)]
    else:
        return
    for place, key, value in children:
        child_path = (*path, key)
        yield child_path, place.start_mark.line + 1
        yield from key_lines(value, child_path, visited)
