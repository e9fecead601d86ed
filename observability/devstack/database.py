"""The native stack's database: migrations, seeds, and the keys of the stack's own programs."""

import hashlib
import sqlite3
import subprocess
import sys
from contextlib import closing

from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.private_files import PRIVATE
from observability.devstack.processes import clean_environment
from observability.devstack.programs import api_environment
from observability.devstack.steps import StackError
from observability.lib.bound_process import bind

# Folders that decide what the database contains.
SOURCES = ("migrations/versions", "api/cli", "api/platform/cli")
SEED = "flask --app api.app seed --migrate --keys"
KEY_NAMES = ("prober", "load")
VALID_KEYS = "SELECT count(*) FROM api_keys WHERE digest IN (?, ?) AND revoked_at IS NULL"


def prepare_database(layout: StackLayout, *, drill: bool = False) -> None:
    """Migrate and seed the database and make keys, unless that is done; raise StackError."""
    stamp = layout.state / "prepared"
    digest = digest_sources()
    is_current = stamp.exists() and stamp.read_text(encoding="utf-8") == digest
    if is_current and layout.database.exists() and keys_are_valid(layout):
        return
    command = [sys.executable, "-m", *SEED.split(), str(layout.keys)]
    environment = clean_environment(layout) | api_environment(layout, drill=drill)
    environment.pop("PROMETHEUS_MULTIPROC_DIR")
    result = subprocess.run(  # noqa: S603 - our own interpreter
        bind(command), cwd=ROOT, env=environment, umask=PRIVATE, capture_output=True, text=True
    )
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1]
        raise StackError(f"the database could not be prepared: {reason}")
    stamp.write_text(digest, encoding="utf-8")


def digest_sources() -> str:
    """Return a digest of the migrations and the code of `seed`."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def keys_are_valid(layout: StackLayout) -> bool:
    """Tell whether the keys of the stack's own programs exist and none of them is revoked."""
    digests = [hashlib.sha256(layout.key(name).encode()).hexdigest() for name in KEY_NAMES]
    with closing(sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True)) as database:
        [count] = database.execute(VALID_KEYS, digests).fetchone()
    return bool(count == len(digests))
