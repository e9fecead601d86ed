"""The settings of the user: the environment, and below it .env; and the version of a release."""

import os
from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "release.env"  # which observability/deploy/host.py writes


def user_settings() -> dict[str, str]:
    """Return the variables of this process, and those that only .env sets, as the API reads it.

    In a release that `make deploy` has made, its file says the version of the images.
    """
    values: dict[str, str | None] = {}
    for name in (".env", RELEASE):
        values |= dotenv_values(ROOT / name, encoding="utf-8")
    return {name: value for name, value in values.items() if value is not None} | os.environ
