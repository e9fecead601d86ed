"""The one shape in which anything that is wrong is reported; it imports nothing of ours."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """Something that a person has to mend: where it is, what it is, and the edit or command that mends it."""

    where: str  # file, and the key or line in it
    message: str
    fix: str
    check: str = "catalogue"  # which check found it; docs/checks.md has a section of that name

    def __str__(self) -> str:
        return f"{self.where}: {self.message}\n    mend: {self.fix}  [{self.check}]"


class Invalid(Exception):
    """Raised once, with every problem found, by loaders that cannot return anything."""

    def __init__(self, problems: list[Problem]):
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
