"""Numbers in environment variables: accepted values, and the sentence about any other."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from observability.spec.environment_numbers import read_number, read_seconds, read_whole_number

ROOT = Path(__file__).resolve().parents[3]
GUNICORN = ("-m", "gunicorn", "--check-config", "--config", "api/gunicorn.conf.py", "api.app:app")
LOCUST = ("-c", "from loadtests import locustfile")


def test_valid_values_are_read() -> None:
    """An empty variable is as good as none."""
    environment = {"A": "3", "B": "0.5", "C": "0", "D": ""}
    assert read_whole_number(environment, "A", 1) == 3
    assert read_number(environment, "B", 1) == 0.5
    assert read_seconds(environment, "C", 1) == 0
    assert read_number(environment, "D", 7) == read_number(environment, "E", 7) == 7


@pytest.mark.parametrize("value", ["two", "0", "-1", "1.5", "nan", "inf", str(-math.inf)])
def test_an_invalid_value_ends_the_program(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names variable, value and fix."""
    with pytest.raises(SystemExit) as ended:
        read_whole_number({"A": value}, "A", 2)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"A is {value!r}, which is no whole number above 0. fix: set it to one, as in A=2, or"
        " unset it\n"
    )


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("EVARA_WORKERS", GUNICORN),
        ("EVARA_THREADS", GUNICORN),
        ("EVARA_DRAIN_SECONDS", GUNICORN),
        ("EVARA_LOAD_RATE", LOCUST),
        ("EVARA_LOAD_USERS", LOCUST),
        ("EVARA_LOAD_TIMEOUT", LOCUST),
        ("EVARA_LOAD_SCENARIOS", LOCUST),
    ],
)
def test_programs_name_the_variable(name: str, program: tuple[str, ...]) -> None:
    """gunicorn and Locust end with one line, not with a traceback."""
    result = subprocess.run(
        [sys.executable, *program],
        cwd=ROOT,
        env=os.environ | {name: "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"{name} is 'many', which ")
    assert " fix: " in line
