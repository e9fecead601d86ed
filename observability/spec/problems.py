"""The shape in which everything that is wrong is reported."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """Something that a person has to correct: its place, what it is, and the edit or command."""

    where: str  # file, line where there is one, and key
    message: str
    fix: str
    check: str = "catalogue"  # which check found it; docs/checks.md has a section of that name

    def __str__(self) -> str:
        return f"{self.where}: {self.message}\n    fix: {self.fix}  [{self.check}]"


class Invalid(Exception):
    """All problems of files from which no plan can be built."""

    def __init__(self, problems: list[Problem]):
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def by_place(problem: Problem) -> tuple[str, int, str]:
    """Return a sort key: file, line as a number, then the rest of the place and the message."""
    file, _, rest = problem.where.partition(":")
    line, _, _ = rest.partition(":")
    number = 0
    if line.isdecimal():
        number = int(line)
    return file, number, f"{rest}: {problem.message}"
