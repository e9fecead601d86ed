"""Code that serves any HTTP service has no noun of the service that ships with it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    *("spec", "lib", "sli", "generate", "checks", "slo", "load"),
    *("drill", "console", "devstack", "commands"),
)
NOUNS = frozenset(
    {
        *("node", "nodes", "reading", "readings", "channel", "channels", "tank", "tanks"),
        *("device", "devices", "sensor", "sensors", "alarm", "alarms", "thingspeak", "replay"),
        *("sync", "syncs", "synced", "syncing", "backfill", "crossing", "crossings", "iot"),
        *("water", "bore", "wells", "meter", "meters", "pump", "pumps", "feeds"),
    }
)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # of snake_case, camelCase and CONSTANTS
# Files in which such a word means something else.
ALLOWED = {
    "observability/console/static/console.js": {"node"},  # of the DOM
    "observability/console/templates/base.html": {"device"},  # the width of the viewport
    "observability/load/templates/base.html": {"device"},  # the width of the viewport
    "observability/spec/documents.py": {"node"},  # of YAML's syntax tree
    "observability/generate/yaml_text.py": {"node"},  # of YAML's syntax tree
    "observability/spec/schema/policy.py": {"channel"},  # of Slack
    "observability/generate/alertmanager.py": {"channel"},  # of Slack
    "observability/generate/postgres.py": {"replay"},  # of PostgreSQL's log by the replica
    "observability/devstack/compose/postgres/backup.sh": {"sync"},  # an option of initdb
    "observability/spec/redaction.py": {"channel"},  # a secret that is redacted
    "api/platform/tables.py": {"node"},  # a column that the first migrations named
}


def nouns_in(text: str) -> set[str]:
    """Return the nouns among the words of a text, and of the identifiers in it."""
    words = [*WORD.findall(text), *re.findall("thingspeak", text, re.IGNORECASE)]
    return NOUNS.intersection(word.lower() for word in words)


def files() -> list[Path]:
    """Return every file of the packages: code, shell, SQL, YAML, HTML and configuration."""
    folders = [ROOT / "observability" / package for package in PACKAGES]
    folders.append(ROOT / "api" / "platform")
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in paths if path.suffix != ".pyc")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_noun_of_the_service_is_named(path: Path) -> None:
    """Identifiers, texts, docstrings and comments have no noun; the catalogue declares them."""
    allowed = ALLOWED.get(str(path.relative_to(ROOT)), set())
    assert nouns_in(path.read_text(encoding="utf-8")) == allowed


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("def read_node_id(): ...", {"node"}),
        ("STORED_READINGS = 1", {"readings"}),
        ("class ThingSpeakClient(SyncJob): ...", {"thingspeak", "sync"}),
        ("SELECT max(time) FROM public.readings -- of a channel", {"readings", "channel"}),
        ("fsync, resetchannels and an asynchronous thread", set()),
    ],
)
def test_nouns_are_detected_inside_names(text: str, nouns: set[str]) -> None:
    """A noun is detected in snake_case, camelCase and capitals, but not in another word."""
    assert nouns_in(text) == nouns
