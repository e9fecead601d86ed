"""The requirements of the API's image: complete, minimal, and the same versions."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A process that cannot import the modules named on its command line starts the API.
PROGRAM = """
import sys

class AbsentFinder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, AbsentFinder())
from api.app import create_app
from api.config import Settings
import api.platform.telemetry.exporter, api.platform.jobs.worker
app = create_app(Settings(_env_file=None, env="test", redis_url="redis://localhost:1/0",
otlp_endpoint="http://localhost:1"))
print(len(app.url_map._rules), "routes")
"""
MODULES = {
    "pyyaml": "yaml",
    "python-json-logger": "pythonjsonlogger",
    "dogpile.cache": "dogpile",
}  # where they differ from the name


def required(name: str) -> set[str]:
    """Return the names in a requirements file, without extras and versions."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    matches = [re.match(r"[A-Za-z][\w.-]*", line) for line in lines]
    return {match[0].lower() for match in matches if match}


def pinned(name: str) -> dict[str, str]:
    return dict(
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_api_imports_only_its_own_requirements() -> None:
    """The packages that the image lacks, such as grafanalib, are not needed."""
    absent = required("requirements.in") - pinned("api/requirements.txt").keys()
    assert {"grafanalib", "locust", "matplotlib"} <= absent
    modules = [MODULES.get(name, name).replace("-", "_") for name in absent]
    command = [sys.executable, "-c", PROGRAM, *modules]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "routes" in result.stdout


def test_both_images_have_the_same_versions() -> None:
    """The lock file of the API agrees with that of everything else."""
    small, whole = pinned("api/requirements.txt"), pinned("requirements.txt")
    assert len(small) > 40
    assert {name: version for name, version in small.items() if whole.get(name) != version} == {}
    assert required("api/requirements.in") <= required("requirements.in")
    assert required("api/requirements.in") <= small.keys()
