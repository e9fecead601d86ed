"""The rules for migrations: they run while the previous release serves.

docs/adr/0031-releases.md has the reasons. A migration adds what its release needs. What that
replaces is removed one release later, in a file with `contract_phase = "why nobody needs it"`.
"""

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask_migrate import upgrade
from sqlalchemy import event

from api.platform.db import database

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
FILES = "[0-9]*.py"
REBUILT = re.compile(r"_alembic_tmp_(\w+)")  # a SQLite table that batch mode copies
# Statements that the running release may not survive, and why.
REFUSED = {
    r"\bDROP\b": "the running release may use what this removes",
    r"\bRENAME\b": "the running release uses the old name",
    r"\bADD\b(?!.* DEFAULT\b).* NOT NULL": "the running release gives it no value",
    r"\bSET NOT NULL\b": "the running release may give it no value",
    r"\bALTER COLUMN \S+ (SET DATA )?TYPE\b": "the running release uses the old type",
}
FIX = (
    "fix: add what the next release needs, and remove what it replaces one release later, in a "
    'file with contract_phase = "why no running release needs it"'
)
# Migrations that break the present code.
BREAKING = (
    "op.drop_column('nodes', 'channel_key')",
    "op.drop_table('deliveries')",
    "op.drop_table('dead_letters')",
    "op.alter_column('latest', 'told', new_column_name='said')",
    "op.rename_table('sync_states', 'cursors')",
    "op.execute('ALTER TABLE nodes RENAME COLUMN name TO title')",
)
TEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
{marker}

def upgrade():
    {change}
"""


def add_migration(folder: Path, change: str, marker: str = "") -> Path:
    """Return a copy of the migrations with one more, which makes this change."""
    migrations = Path(shutil.copytree(MIGRATIONS, folder / "migrations"))
    versions = migrations / "versions"
    head = max(path.name for path in versions.glob(FILES))[:4]
    text = TEXT.format(head=head, change=change, marker=marker)
    (versions / "9999_more.py").write_text(text, encoding="utf-8")
    return migrations


def check_migrations(folder: Path) -> list[str]:
    """Run the migrations on the current app's empty database; return a sentence per problem."""
    problems: list[str] = []
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        statements.append(" ".join(sql.split()))

    event.listen(database().engine, "before_cursor_execute", note)
    for path in sorted((folder / "versions").glob(FILES)):
        statements.clear()
        upgrade(directory=str(folder), revision=path.name[:4])
        if not runpy.run_path(str(path)).get("contract_phase"):
            problems += [f"{path.name}: {problem}" for problem in check_statements(statements)]
    event.remove(database().engine, "before_cursor_execute", note)
    return problems


def check_statements(statements: list[str]) -> Iterator[str]:
    """Yield a sentence for each statement that breaks the running release."""
    copies = {f"DROP TABLE {name}" for name in REBUILT.findall(" ".join(statements))}
    for statement in statements:
        if statement in copies or REBUILT.search(statement):
            continue
        for pattern, reason in REFUSED.items():
            if re.search(pattern, statement, re.IGNORECASE):
                yield f"{statement[:100]}: {reason}; {FIX}"
