"""`load --compare`: its texts, its page and its exit code."""

import json
from pathlib import Path

import pytest

from tests.observability.commands.load_reports import REPORT, SIDE
from tests.observability.commands.support import WIDTH, invoke


def test_two_load_reports_are_compared(tmp_path: Path) -> None:
    """The page is beside the new report; an objective that is newly missed fails."""
    better = REPORT | {
        "objectives": [
            row | {"verdict": "met", "measured": 1.0} for row in REPORT["objectives"][:1]
        ]
    }
    for name, content in (
        ("old", better),
        ("new", REPORT | {"run": REPORT["run"] | {"users": 21}}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(content), encoding="utf-8")
    folders = str(tmp_path / "old"), str(tmp_path / "new")
    result = invoke("load", "--compare", *folders)
    assert result.exit_code == 1, result.output
    assert (
        "orders.list-availability: was met, is missed now: 100.000 % → 90.000 %, objective 99.9 %"
        in result.output
    )
    assert "The runs had different settings: users was 20, is 21." in result.output
    assert str(tmp_path / "new" / "compare.html") in result.output
    assert "1 objective newly missed" in (tmp_path / "new" / "compare.html").read_text(
        encoding="utf-8"
    )
    assert not (tmp_path / "old" / "compare.html").exists()
    assert (
        json.loads(invoke("load", "--compare", *folders, "--json").stdout)["broken"][0]["new"]
        == 0.9
    )
    assert invoke("load", "--compare", folders[1], folders[0]).exit_code == 0
    refused = invoke("load", "--compare", folders[0], str(tmp_path))
    assert refused.exit_code == 2
    assert "report.json cannot be read" in refused.stderr


@pytest.mark.parametrize(
    ("verdicts", "sign"),
    [(("met", "missed"), "✓"), (("met", "disagree"), "?"), (("unknown", "met"), "?")],
)
def test_comparison_of_unreliable_runs_has_a_warning(
    tmp_path: Path, verdicts: tuple[str, str], sign: str
) -> None:
    """It has no tick, but exits 0."""
    few = {
        "route": "parcels.latest",
        "clients": SIDE | {"requests": 20, "p95": 0.16},
        "server": None,
    }
    for name, verdict in zip(("old", "new"), verdicts, strict=True):
        (tmp_path / name).mkdir()
        content = REPORT | {
            "verdict": verdict,
            "routes": [few if name == "new" else REPORT["routes"][0]],
        }
        (tmp_path / name / "report.json").write_text(json.dumps(content), encoding="utf-8")
    result = invoke("load", "--compare", str(tmp_path / "old"), str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    page = (tmp_path / "new" / "compare.html").read_text(encoding="utf-8")
    assert "(+100 %)" in page
    assert f"{sign} No objective got worse." in result.output
    assert ("proves little" in result.output) == (sign == "?")
    assert max(len(line.rstrip()) for line in result.output.splitlines()[:-1]) <= WIDTH
