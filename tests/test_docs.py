"""The documents agree with the code: targets, commands, options, settings and keys."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from api.config import Settings
from observability.__main__ import cli
from observability.audit.packages import LOCKS
from observability.devstack.layout import stack_ports
from observability.spec.schema import catalogue as schema

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z0-9]+):.*## ", MAKEFILE, re.MULTILINE)
OF_GENERATE = {"--catalogue", "--policy", "--openapi", "--out"}


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_is_documented(target: str) -> None:
    """Each target of `make help` is in docs/operations.md."""
    assert f"`make {target}`" in OPERATIONS


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_is_a_target(name: str) -> None:
    """Each command can be reached by `make`, and its options are documented."""
    assert name in TARGETS
    text = OPERATIONS + (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8") + MAKEFILE
    for parameter in cli.commands[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option not in {"--help", "--lines"}:
                assert option in text, f"{name} {option}"


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_in_the_example(field: str) -> None:
    """Each setting of the API is in .env.example with its EVARA_ name."""
    assert f"EVARA_{field.upper()}=" in (ROOT / ".env.example").read_text(encoding="utf-8")


def test_every_variable_that_code_reads_is_in_the_example() -> None:
    """Variables read outside the settings class are documented, unless only the stack sets them."""
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("api", "observability", "loadtests")
        for path in (ROOT / folder).rglob("*.py")
    ]
    readers = (r"environ\.get\(", r"\bread_\w+\((?:os\.)?environ(?:ment)?, ")
    of_make = (r"user_settings\(\)\.get\(", r"\bfolder_setting\(")
    reads = rf'(?:{"|".join(readers + of_make)})"(EVARA_\w+)"'
    read = set(re.findall(reads, "\n".join(sources)))
    assert {"EVARA_WORKERS", "EVARA_LOAD_TIMEOUT", "EVARA_STACK_DIR"} <= read
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    internal = {
        *("EVARA_INSTANCES", "EVARA_SUPERVISOR"),
        *("EVARA_LOAD_RATE", "EVARA_LOAD_USERS", "EVARA_LOAD_VERDICT"),
    }
    assert {name for name in read - internal if f"{name}=" not in example} == set()


@pytest.mark.parametrize(
    "model",
    [
        *(
            schema.Catalogue,
            schema.RouteEntry,
            schema.WatchEntry,
            schema.LogEntry,
            schema.JobEntry,
            schema.ProbeEntry,
        ),
        *(
            schema.DefaultsEntry,
            schema.LatencyEntry,
            schema.LoadEntry,
            schema.DeprecationEntry,
            schema.DependencyEntry,
            schema.GatewayEntry,
            schema.CasesEntry,
            schema.ScrapeEntry,
        ),
    ],
)
def test_every_catalogue_key_is_documented(model: type[BaseModel]) -> None:
    """Each key that the catalogue may have is explained in docs/catalogue.md."""
    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    for name, field in model.model_fields.items():
        assert re.search(rf"\b{field.alias or name}\b", text), name


@pytest.mark.parametrize(("name", "port"), sorted(stack_ports().items()))
def test_every_port_is_documented(name: str, port: int) -> None:
    """Each process of the stack is in the table with its port."""
    assert re.search(rf"^\| `.+` \| [^|]*\b{port}\b[^|]* \|", OPERATIONS, re.MULTILINE), name


@pytest.mark.parametrize(
    "check", ["catalogue", "contract", "drift", "lint", "boards", "metrics", "proofs"]
)
def test_every_check_has_a_section(check: str) -> None:
    """The name of a check is a heading in docs/checks.md."""
    assert f"## {check}\n" in (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")


def test_the_route_in_the_readme_is_valid() -> None:
    """The README's example can be pasted into the catalogue as it stands."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert example
    for entry in yaml.safe_load(example[1]).values():
        assert schema.RouteEntry.model_validate(entry).next_steps


def test_lock_files_name_no_index_and_no_path() -> None:
    """Locked requirements carry hashes and nothing of the machine that locked them."""
    for name in LOCKS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index-url|--find-links|file:|^/", text, re.MULTILINE)


def test_every_defence_names_a_test_that_exists() -> None:
    """Each row of the threat model names a test that exists."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    threats, _, _ = page.partition("\nNot covered:\n")
    rows = [line for line in threats.splitlines() if line.startswith("|")][2:]
    assert rows
    for row in rows:
        named = re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", row)
        assert named, row
        assert f"def {named[2]}(" in (ROOT / named[1]).read_text(encoding="utf-8"), row


def test_documented_port_offsets_leave_room_for_the_first_stack() -> None:
    """A second stack with them uses no port of the first, whatever their modes."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("observability/**/*.py")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    offsets = set(re.findall(r"EVARA_PORT_OFFSET=([1-9]\d*)", "\n".join(texts)))
    assert offsets
    ports = set(stack_ports().values())
    for offset in map(int, offsets):
        assert ports.isdisjoint({port + offset for port in ports}), offset
