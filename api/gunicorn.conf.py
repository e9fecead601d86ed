"""gunicorn's settings: `gunicorn --config api/gunicorn.conf.py 'api.app:create_app()'`."""

import json
import os
import sys
from pathlib import Path

import gunicorn

from observability.spec import redaction

redaction.protect_output()  # of gunicorn itself, too: what it says of a bad request may hold a key

# The environment of a process cannot change, but this file can, and gunicorn reads it again on
# SIGHUP: the next workers have the new settings, while the master keeps the port open.
path = os.environ.get("EVARA_ENVIRONMENT_FILE")
variables = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
raw_env = [f"{name}={value}" for name, value in variables.items()]
environment = {**os.environ, **variables}

bind = environment.get("EVARA_BIND", "127.0.0.1:8000")
workers = int(environment.get("EVARA_WORKERS", "2"))
threads = int(environment.get("EVARA_THREADS", "8"))
worker_class = "api.platform.http.gunicorn_worker.Worker"
timeout = 30  # a worker that hangs this long is replaced
graceful_timeout = 20
keepalive = 15
backlog = 512
control_socket_disable = True  # there is one per user, which two stacks would share
accesslog = None  # the app writes its own line per request
errorlog = "-"
proc_name = "evara-api"
forwarded_allow_ips = ""  # the app itself trusts EVARA_PROXY_HOPS proxies


def post_fork(_server: object, _worker: object) -> None:
    """Forget our modules that the master has imported: a reload must not mix two releases."""
    for name in list(sys.modules):
        if name.startswith(("api.", "observability.")):
            del sys.modules[name]


gunicorn.SERVER = "evara"  # the Server header; there is no setting for it
