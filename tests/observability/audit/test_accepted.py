"""audit.yaml: what it accepts, and when an entry itself is a problem."""

from datetime import date

import pytest

from observability.audit.accepted import accept, read_accepted
from observability.audit.results import Finding, Result, judge
from observability.devstack.layout import ROOT
from observability.spec.problems import Invalid
from tests.observability.audit.repository import Repository

ENTRY = """
  - check: packages
    id: CVE-1
    reason: no code calls it
    until: 2026-12-31
"""
HOLE = Finding(
    "requirements.txt: flask 3", "PYSEC-1 CVE-1: a hole", "", "packages", ("PYSEC-1", "CVE-1")
)
OTHER = Finding("requirements.txt: flask 3", "PYSEC-2: another", "", "packages", ("PYSEC-2",))
BEFORE, AFTER = date(2026, 12, 31), date(2027, 1, 1)


def accepted(repository: Repository, result: Result, today: date) -> list[Result]:
    """Return the results after an entry that accepts CVE-1."""
    repository.write("observability/audit.yaml", f"accepted:{ENTRY}")
    return accept([result], read_accepted(repository.root), today)


def test_an_entry_accepts_one_finding_by_any_of_its_names(repository: Repository) -> None:
    """The others stay."""
    result, entries = accepted(repository, judge("packages", "", [HOLE, OTHER]), BEFORE)
    assert (result.findings, result.verdict) == ((OTHER,), "not fine")
    assert (entries.text, entries.verdict) == ("1 entries in observability/audit.yaml", "fine")
    result, _ = accepted(repository, judge("packages", "", [HOLE]), BEFORE)
    assert result.verdict == "fine"


def test_an_expired_entry_accepts_nothing(repository: Repository) -> None:
    """It is a finding beside the one that it accepted."""
    result, entries = accepted(repository, judge("packages", "", [HOLE]), AFTER)
    assert result.findings == (HOLE,)
    (finding,) = entries.findings
    assert finding.where == "observability/audit.yaml: packages CVE-1"
    assert "until 2026-12-31, which has passed" in finding.message
    assert "set a later day" in finding.fix


def test_an_unused_entry_is_a_finding(repository: Repository) -> None:
    """Unless the check could not tell, or did not run."""
    _, entries = accepted(repository, judge("packages", "", [OTHER]), BEFORE)
    (finding,) = entries.findings
    assert (finding.message, finding.fix) == ("nothing like it is found", "remove it")
    _, entries = accepted(repository, Result("packages", "unknown", "no network"), BEFORE)
    assert entries.verdict == "fine"
    _, entries = accepted(repository, judge("secrets", "", []), BEFORE)
    assert entries.verdict == "fine"


def test_no_file_accepts_nothing(repository: Repository) -> None:
    """Every result stays as it is."""
    assert read_accepted(repository.root) == ()
    result = judge("packages", "", [HOLE])
    assert accept([result], (), BEFORE)[0] == result


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("accepted:\n  - {check: packages, id: CVE-1, until: 2027-01-01}\n", "reason: is missing"),
        (f"accepted:{ENTRY}".replace("2026-12-31", "soon"), "until: Input should be a valid date"),
        (f"accepted:{ENTRY}".replace("packages", "sbom"), "check: 'sbom' is not known here"),
        (f"accepted:{ENTRY}    why: x\n", "why: unknown key"),
        ("accepted: [\n", "is not YAML"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(
    repository: Repository, text: str, problem: str
) -> None:
    """Before any check runs."""
    repository.write("observability/audit.yaml", text)
    with pytest.raises(Invalid) as refused:
        read_accepted(repository.root)
    assert problem in str(refused.value)
    assert "audit.yaml:" in str(refused.value)
    assert "catalogue" not in str(refused.value)


def test_shipped_entries_give_a_reason() -> None:
    """The file of this repository is valid."""
    assert all(len(entry.reason) > 20 for entry in read_accepted(ROOT))
