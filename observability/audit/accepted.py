"""The findings that audit.yaml accepts, each with a reason and until a day."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import ClassVar, Literal

from observability.audit.results import UNKNOWN, Finding, Result, judge
from observability.spec.documents import read_document
from observability.spec.parsing import parse
from observability.spec.problems import Invalid
from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import Text

CHECK = "accepted"
FILE = "observability/audit.yaml"


class AcceptedFinding(Entry):
    """A finding that is known and left alone."""

    check: Literal["packages", "image", "secrets"]
    id: Text
    reason: Text
    until: date


class AcceptedFindings(Entry):
    """The whole file."""

    reference: ClassVar[str] = "docs/operations.md"
    accepted: tuple[AcceptedFinding, ...] = ()


def read_accepted(root: Path) -> tuple[AcceptedFinding, ...]:
    """Return the entries of the file, none where there is no file; raise Invalid."""
    path = root / FILE
    if not path.exists():
        return ()
    entries, problems = parse(read_document(path), AcceptedFindings)
    if problems or entries is None:
        raise Invalid([replace(problem, check=CHECK) for problem in problems])
    return entries.accepted


def accept(
    results: list[Result], entries: tuple[AcceptedFinding, ...], today: date
) -> list[Result]:
    """Return the results without what is accepted, and with one about the entries themselves.

    An entry is a finding when its day has passed, or when a check found nothing like it.
    """
    looked = {result.check: result for result in results if result.verdict != UNKNOWN}
    problems = []
    for entry in entries:
        result = looked.get(entry.check)
        if result is None:
            continue
        others = [finding for finding in result.findings if entry.id not in finding.ids]
        where = f"{FILE}: {entry.check} {entry.id}"
        if len(others) == len(result.findings):
            problems.append(Finding(where, "nothing like it is found", "remove it", CHECK))
        elif entry.until < today:
            message = f"is accepted until {entry.until}, which has passed"
            fix = "remove its cause, or set a later day and say why"
            problems.append(Finding(where, message, fix, CHECK))
        else:
            looked[entry.check] = judge(result.check, result.text, others)
    judged = [looked.get(result.check, result) for result in results]
    return [*judged, judge(CHECK, f"{len(entries)} entries in {FILE}", problems)]
