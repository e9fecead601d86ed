"""gunicorn's worker, which frees the port as soon as it accepts no more connections."""

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):
    """A thread worker that closes its listening sockets before its last requests have ended.

    gunicorn's own closes them afterwards. When the master alone was killed, its workers would keep
    the port, without accepting connections, from the next master for up to `graceful_timeout`.
    """

    def is_parent_alive(self) -> bool:
        """Return whether the master runs; without it, stop like a worker that gets SIGTERM."""
        if super().is_parent_alive():
            return True
        self.alive = False  # answers say `Connection: close`
        return False

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop accepting connections; close the listening sockets of a stopping worker."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()
