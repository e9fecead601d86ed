"""gunicorn's worker, which frees the port as soon as it accepts no more connections."""

import socket
from types import FrameType
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

write_html = util.write_error


class Worker(ThreadWorker):
    """A thread worker that closes its listening sockets before its last requests have ended.

    gunicorn's own closes them afterwards. When the master alone was killed, its workers would keep
    the port, without accepting connections, from the next master for up to `graceful_timeout`.
    """

    wsgi: Any = None  # until it is imported

    def is_parent_alive(self) -> bool:
        """Return whether the master runs; without it, stop like a worker that gets SIGTERM."""
        if super().is_parent_alive():
            return True
        self.alive = False  # answers say `Connection: close`
        return False

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """Say on the master's signal that the worker will stop; gunicorn reopens its log."""
        announce_stop = getattr(self.wsgi, "announce_stop", None)
        if announce_stop:
            announce_stop()
        super().handle_usr1(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop accepting connections; close the listening sockets of a stopping worker."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()

    def init_process(self) -> None:
        """Run the worker; it writes the errors that gunicorn answers itself."""
        util.write_error = self.write_error
        super().init_process()

    def write_error(self, client: socket.socket, status: int, reason: str, detail: str) -> None:
        """Answer a request that gunicorn cannot parse: as the app does, if the app knows how."""
        answer_unparsed = getattr(self.wsgi, "answer_unparsed", None)
        if not answer_unparsed:
            write_html(client, status, reason, detail)
            return
        address, *_ = client.getpeername()
        util.write_nonblock(client, answer_unparsed(status, address))
