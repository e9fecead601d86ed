"""Clients that send requests while a test does something else, and what became of each."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import httpx

CLIENTS = 4
PAUSE = 0.03  # seconds; the gateway admits 200 requests a second per address
SUCCESSES = {200, 201}


@dataclass
class Traffic:
    """The requests so far: how many had each outcome, and the readings that were acknowledged."""

    url: str  # of a node
    key: str
    outcomes: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)  # by metric
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def total(self) -> int:
        """Return the number of requests."""
        return self.outcomes.total()

    @property
    def failures(self) -> dict[str, int]:
        """Return the outcomes other than success."""
        fine = {str(status) for status in SUCCESSES}
        return {outcome: number for outcome, number in self.outcomes.items() if outcome not in fine}

    def run(self, number: int) -> None:
        """Send requests as one client: reads and writes, on kept and on new connections."""
        headers = {"Authorization": f"Bearer {self.key}"}
        metric = f"release_{number}"
        first = datetime.now(UTC) - timedelta(hours=1)
        with httpx.Client(headers=headers, timeout=60) as kept:
            for step in count():
                if self.stopped.is_set():
                    return
                reading = {"metric": metric, "value": step}
                reading["time"] = (first + timedelta(milliseconds=step)).isoformat()
                try:
                    if step % 3 == 0:
                        answer = kept.post(f"{self.url}/readings", json={"readings": [reading]})
                    elif step % 3 == 1:
                        answer = kept.get(self.url)
                    else:
                        answer = httpx.get(f"{self.url}/latest", headers=headers, timeout=60)
                    outcome = str(answer.status_code)
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                self.outcomes[outcome] += 1
                self.acknowledged[metric] += int(outcome == "201")
                time.sleep(PAUSE)


@contextmanager
def steady_traffic(url: str, key: str) -> Iterator[Traffic]:
    """Send requests to a node during the block; yield their outcomes."""
    traffic = Traffic(url, key)
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(traffic.run, number) for number in range(CLIENTS)]
        try:
            yield traffic
        finally:
            traffic.stopped.set()
    for client in running:
        client.result()
