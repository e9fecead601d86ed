"""The connection of `flask db` to the database, as in the migrations of the main app."""

import runpy
from pathlib import Path

MAIN = Path(__file__).resolve().parents[5] / "migrations"
runpy.run_path(str(MAIN / "env.py"))
