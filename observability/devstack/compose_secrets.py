"""The files with secrets that the compose stack mounts."""

import hashlib
import json
import os
import secrets
from pathlib import Path

from observability.devstack.compose_settings import CERTIFICATES, USER
from observability.devstack.private_files import new_key, write_if_missing

PASSWORDS = (
    "superuser_password",
    "postgres_password",
    "replication_password",
    "exporter_password",
    "grafana_password",
    "valkey_password",
    "valkey_watcher_password",
)
API_KEYS = ("prober_key", "load_key")  # which the container `migrate` registers with the API
# Secrets that the user may fill in; an empty one is not used.
USER_SECRETS = (
    "slack_url",
    "pagerduty_key",
    "deadman_url",
    "evara_webhook_secret",
    "evara_sentry_dsn",
)
# Secrets with passwords or their digests. The user `default` is for the health check of Valkey.
TEMPLATES = {
    "evara_database_url": "postgresql+psycopg://evara:{postgres_password}@postgres:5432/evara",
    "evara_redis_url": "redis://evara:{valkey_password}@valkey:6379/0",
    "evara_limiter_url": "redis://evara:{valkey_password}@valkey:6379/1",
    "evara_jobs_url": "redis://evara:{valkey_password}@valkey:6379/2",
    "valkey_users.acl": """\
user default on nopass resetkeys resetchannels -@all +ping
user evara on #{valkey_password_digest} ~* &* +@all -@admin -@dangerous
user watcher on #{valkey_watcher_password_digest} resetkeys resetchannels -@all {watcher_commands}
""",
    "valkey_watcher.json": '{{"redis://watcher@valkey:6379": {valkey_watcher_password_json}}}',
}
WATCHER_COMMANDS = (
    "+ping +info +client|setname +config|get +slowlog|get +slowlog|len"
    " +latency|latest +latency|histogram"
)


def make_secrets(folder: Path) -> None:
    """Write the secrets that are missing; only the containers' user may read any of them.

    That user is ourselves, or USER when root starts the containers.
    """
    certificates = folder / CERTIFICATES
    certificates.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for path in (certificates, *certificates.iterdir()):
        make_private(path)
    for name in (*API_KEYS, "inbox_key"):
        keep_secret(folder / name, new_key())
    for name in USER_SECRETS:
        keep_secret(folder / name, "")
    values = {"watcher_commands": WATCHER_COMMANDS}
    for name in PASSWORDS:
        password = keep_secret(folder / name, secrets.token_urlsafe(32))
        values[name] = password
        values[f"{name}_digest"] = hashlib.sha256(password.encode()).hexdigest()
        values[f"{name}_json"] = json.dumps(password)
    for name, template in TEMPLATES.items():
        keep_secret(folder / name, template.format(**values))


def keep_secret(path: Path, text: str) -> str:
    """Write a secret unless its file exists; return what the file holds."""
    write_if_missing(path, text)
    make_private(path)
    return path.read_text(encoding="utf-8").strip()


def make_private(path: Path) -> None:
    """Restrict a file or folder to the containers' user."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if os.geteuid() == 0:
        os.chown(path, USER, USER)
