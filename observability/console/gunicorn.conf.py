"""gunicorn's settings for the console: one process, because the inbox lives in its memory."""

import gunicorn

from observability.spec import redaction

redaction.protect_output()  # gunicorn's lines on bad requests may contain keys

workers = 1
threads = 8  # readers wait for Prometheus
graceful_timeout = 5
control_socket_disable = True  # there is one per user, which two stacks would share
gunicorn.SERVER = "evara"  # the Server header; there is no setting for it
