"""gunicorn's settings: `gunicorn --config api/gunicorn.conf.py 'api.app:create_app()'`."""

import os

import gunicorn

bind = os.environ.get("EVARA_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("EVARA_WORKERS", "2"))
threads = int(os.environ.get("EVARA_THREADS", "8"))
worker_class = "gthread"
timeout = 30  # a worker that hangs this long is replaced
graceful_timeout = 20
keepalive = 15
backlog = 512
control_socket_disable = True  # there is one per user, which two stacks would share
accesslog = None  # the app writes its own line per request
errorlog = "-"
proc_name = "evara-api"
forwarded_allow_ips = ""  # the app itself trusts EVARA_PROXY_HOPS proxies
gunicorn.SERVER = "evara"  # the Server header; there is no setting for it
