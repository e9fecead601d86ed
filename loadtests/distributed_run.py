"""The counts of a run's Locust workers, merged by their master through Locust's reports."""

import time
from typing import Any

from locust import events as locust_events
from locust import log as locust_log
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.tally import UNHANDLED, Tally

LAST_REPORTS_SECONDS = 10.0  # for workers to report, after the time that users have to stop
POLL_SECONDS = 0.1
events: Any = locust_events  # whose methods have no types


class DistributedRun:
    """A run of one or several processes, whose counts are complete in the one that judges it.

    `expected` has the workers that have not sent their last report to this master; those of them
    that did not send it at the end are `lost`.
    """

    def __init__(self, tally: Tally):
        self.expected: set[str] = set()
        self.lost: set[str] = set()
        self._tally = tally

    def register(self) -> None:
        """Listen to the events of Locust."""
        events.init.add_listener(self.stop_before_the_verdict)
        events.test_start.add_listener(self.start)
        events.report_to_master.add_listener(self.add_to_report)
        events.worker_report.add_listener(self.merge)
        events.test_stop.add_listener(self.complete)
        events.init.add_listener(self.reset_with_statistics)

    def start(self, environment: Environment, **_: Any) -> None:
        """Forget an earlier run of the same process."""
        self._tally.take()
        self.expected, self.lost = set(), set()
        if isinstance(environment.runner, MasterRunner):
            self.expected = set(environment.runner.clients)

    def add_to_report(self, data: dict[str, Any], **_: Any) -> None:
        """Add the counts since the last report to a worker's report."""
        self.count_unhandled()
        data["tally"] = self._tally.take()

    def merge(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Add a worker's counts to those of the run."""
        self._tally.merge(data["tally"])
        if data.get("is_last"):
            self.expected.discard(client_id)
        elif data["tally"]["sent"]:  # a worker may join a run that has started
            self.expected.add(client_id)

    def complete(self, environment: Environment, **_: Any) -> None:
        """Send the last report, or wait for those of all workers: Locust itself may end before.

        A worker reports when its users have stopped.
        """
        runner = environment.runner
        if isinstance(runner, WorkerRunner):
            report = {"is_last": True}
            events.report_to_master.fire(client_id=runner.client_id, data=report)
            runner.send_message("stats", report)
        elif isinstance(runner, MasterRunner):
            if not environment.web_ui:  # Locust would tell the workers too late
                runner.send_message("quit")
            deadline = time.monotonic() + environment.stop_timeout + LAST_REPORTS_SECONDS
            while self.expected and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            self.lost = set(self.expected)
        self.count_unhandled()

    def count_unhandled(self) -> None:
        """Count exceptions outside of requests, as in a listener, of which Locust sets a flag.

        The flag is one of the process: without this, a master would not learn those of its
        workers, and a later run of the same process would fail.
        """
        if locust_log.unhandled_greenlet_exception:
            locust_log.unhandled_greenlet_exception = False
            self._tally.exceptions[UNHANDLED] += 1

    def reset_with_statistics(self, environment: Environment, **_: Any) -> None:
        """Forget requests when Locust does: at a click, and after the ramp with --reset-stats."""
        events.reset_stats.add_listener(self._tally.forget_requests)
        if environment.reset_stats:
            events.spawning_complete.add_listener(self._tally.forget_requests)

    def stop_before_the_verdict(self, environment: Environment, **_: Any) -> None:
        """Let a process that is ended during a run stop its users or workers before it judges.

        Locust does so by itself in a worker, and in a master without a page.
        """
        runner = environment.runner
        is_headless_master = isinstance(runner, MasterRunner) and not environment.web_ui
        if runner and not is_headless_master and not isinstance(runner, WorkerRunner):
            events.quitting.add_listener(lambda **_: runner.stop())
