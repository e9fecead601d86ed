"""Steady requests to one route while a drill goes on."""

import threading
import time

import httpx

THREADS = 4
TIMEOUT = 30.0  # seconds, after which gunicorn replaces a worker; the slowest fault is quicker


class Traffic:
    """Requests to one URL from a few threads in turn, with counts of their outcomes.

    The turns are evenly spaced, so that the responses of a slow route are, too.
    """

    def __init__(self, url: str, rate: float, key: str):
        """Prepare `rate` requests per second with an API key."""
        self._url = url
        self._interval = 1 / rate  # seconds between turns
        self._headers = {"Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(turn,), daemon=True) for turn in range(THREADS)
        ]
        self.reset()

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT)

    def reset(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self.succeeded = 0
            self.failed = 0
            self.slowest = 0.0  # seconds

    def _run(self, turn: int) -> None:
        """Send a request at each turn of this thread until the traffic ends."""
        started = time.monotonic() + turn * self._interval
        pause = turn * self._interval
        with httpx.Client(timeout=TIMEOUT, headers=self._headers) as client:
            while not self._stop.wait(pause):
                self._send(client)
                pause = until_next_turn(time.monotonic() - started, THREADS * self._interval)

    def _send(self, client: httpx.Client) -> None:
        """Send one request and count its outcome."""
        started = time.monotonic()
        try:
            succeeded = client.get(self._url).is_success
        except httpx.HTTPError:
            succeeded = False
        seconds = time.monotonic() - started
        with self._lock:
            self.succeeded += succeeded
            self.failed += not succeeded
            self.slowest = max(self.slowest, seconds)


def until_next_turn(elapsed: float, period: float) -> float:
    """Return the seconds until the next multiple of `period`, `elapsed` seconds after the first."""
    return period - elapsed % period
