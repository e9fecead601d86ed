"""Line numbers of keys, and repeated keys."""

from pathlib import Path

import pytest

from observability.spec.documents import Document, read_document

TEXT = """\
# a comment
service: x
routes:
  a.b:
    latency:
      - {threshold: 1s}
      - threshold: 2s
        objective: 95
copy: &anchor
  inner: 1
alias: *anchor
"""


def read(tmp_path: Path, text: str) -> Document:
    """Write the text to a file and read it."""
    path = tmp_path / "catalogue.yaml"
    path.write_text(text, encoding="utf-8")
    return read_document(path)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ((), "2: the whole file"),
        (("service",), "2: service"),
        (("routes", "a.b"), "4: routes.a.b"),
        (("routes", "a.b", "latency", 0, "threshold"), "6: routes.a.b.latency.0.threshold"),
        (("routes", "a.b", "latency", 1), "7: routes.a.b.latency.1"),
        (("routes", "a.b", "latency", 1, "objective"), "8: routes.a.b.latency.1.objective"),
        (("routes", "a.b", "next_steps"), "4: routes.a.b.next_steps"),
        (("copy", "inner"), "10: copy.inner"),
        (("alias", "inner"), "11: alias.inner"),
        (("missing",), "2: missing"),
    ],
)
def test_a_place_is_file_line_and_key(
    tmp_path: Path, path: tuple[str | int, ...], where: str
) -> None:
    """A key that is missing, or comes from an alias, has the line of the nearest key above it."""
    assert read(tmp_path, TEXT).where(*path) == f"catalogue.yaml:{where}"


def test_a_repeated_key_names_both_lines(tmp_path: Path) -> None:
    """The problem is at the second, and keys below it are not reported again."""
    document = read(tmp_path, "a:\n  b: 1\n  b: 2\nc: {d: 1}\nc: {d: 2}\n")
    assert [(problem.where, problem.message) for problem in document.problems] == [
        ("catalogue.yaml:3: a.b", "the key 'b' is written twice, first in line 2"),
        ("catalogue.yaml:5: c", "the key 'c' is written twice, first in line 4"),
    ]


def test_recursive_alias_is_read(tmp_path: Path) -> None:
    """The recursion ends, because each node is visited once."""
    assert read(tmp_path, "a: &x [*x]\n").where("a", 0, 0, 0) == "catalogue.yaml:1: a.0.0.0"


def test_a_date_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    """YAML makes dates of texts; a wrong one is reported like wrong syntax."""
    [problem] = read(tmp_path, "since: 2026-13-01\n").problems
    assert (problem.where, problem.message) == (
        "catalogue.yaml",
        "is not YAML: month must be in 1..12",
    )
