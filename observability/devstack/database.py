"""The native stack's database: migrations, seeds, and the keys of the stack's own programs."""

import hashlib
import sqlite3
from contextlib import closing

from observability.devstack.flask_command import run_flask
from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.steps import StackError

# Folders that decide what the database contains.
SOURCES = ("migrations/versions", "api/cli", "api/platform/cli")
KEY_NAMES = ("prober", "load")
VALID_KEYS = "SELECT count(*) FROM api_keys WHERE digest IN (?, ?) AND revoked_at IS NULL"


def prepare_database(layout: StackLayout, *, drill: bool = False) -> None:
    """Migrate and seed the database and make keys, unless that is done; raise StackError."""
    stamp = layout.state / "prepared"
    digest = digest_sources()
    is_current = stamp.exists() and stamp.read_text(encoding="utf-8") == digest
    if is_current and layout.database.exists() and keys_are_valid(layout):
        return
    reason = run_flask(layout, "seed", "--migrate", "--keys", str(layout.keys), drill=drill)
    if reason:
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
