"""A stub of ThingSpeak that serves a real recording in its feed format and fails on demand.

The recording is data/water-flow.csv. Channels 1001 to 1003 play it from different places, one entry
a minute, endlessly: the entry of a given minute is always the same one, so that a restart changes
nothing. Web pages cannot use it: it refuses their Origin and unknown Host names.

    python -m loadtests.thingspeak_stub --port 8091
    curl -X POST localhost:8091/control -d '{"mode": "fail", "seconds": 30}'

A mode is in force for some seconds, then the stub works again:

    ok          every feed is answered
    fail        500 for every feed
    stall       no answer before the mode ends
    throttle    429 with Retry-After
    rubbish     a body that ends in the middle of its JSON
    page        200 with an HTML page instead of JSON

Any other channel comes into being when a device uploads to it (thingspeak_uploads.py). ThingSpeak
has the same calls, but none that deletes a single entry:

    POST    /channels/2001/bulk_update.json  {"updates": [{"created_at": "…", "field2": "1.5"}]}
    DELETE  /channels/2001/feeds.json        clear the channel
    DELETE  /channels/2001/feeds/17.json     delete an entry: its id stays missing
"""

import argparse
import csv
import json
import math
import re
import sys
import time
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from loadtests.thingspeak_uploads import FEED_TIME_FORMAT, UploadedChannels
from observability.spec import host_names, redaction
from observability.spec.http_handler import GuardedHandler

RECORDING = Path(__file__).parent / "data" / "water-flow.csv"
CHANNELS = {1001: 0, 1002: 421, 1003: 842}  # channel → first entry in the recording
ENTRY_SECONDS = 60
HISTORY_SECONDS = 7 * 86_400  # more than one page of entries
PAGE_ENTRIES = 8_000
STALL_SECONDS = 60.0
MAX_MODE_SECONDS = 86_400  # every mode ends by itself
MAX_BODY_BYTES = 65_536
FEED_PATH = re.compile(r"/channels/(?P<channel>[^/]+)/feeds\.json")
REQUEST_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
JSON_HEADERS = {"Content-Type": "application/json"}
NO_ACCESS = -1  # the whole body for a channel that the caller may not read


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str] = JSON_HEADERS


def json_answer(status: int, body: Any) -> Answer:
    """Return an answer whose body is JSON."""
    return Answer(status, json.dumps(body).encode())


def error_answer(status: int, code: str, message: str) -> Answer:
    """Return an error in ThingSpeak's shape."""
    error = {"error_code": code, "message": message, "details": ""}
    return json_answer(status, {"status": "error", "error": error})


FAILURE_ANSWERS = {  # mode → its answer to every request for a feed, None for no answer at all
    "fail": error_answer(500, "error_internal", "Internal Server Error"),
    "stall": None,
    "throttle": error_answer(429, "error_too_many_requests", "Too many requests")._replace(
        headers=JSON_HEADERS | {"Retry-After": "1"}
    ),
    "rubbish": Answer(200, b'{"channel": {"id": 1001}, "feeds": [{"created_at": "yest'),
    "page": Answer(
        200, b"<!doctype html><title>We will be back soon</title>", {"Content-Type": "text/html"}
    ),
}
OK = "ok"
MODES = (OK, *FAILURE_ANSWERS)


def read_recording() -> list[str]:
    """Return the recorded values as texts, as ThingSpeak holds them."""
    with RECORDING.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return [value for _, value in rows[1:]]


def build_feed(
    values: list[str],
    channel: int,
    first: float,
    last: float,
    now: float,
    limit: int = PAGE_ENTRIES,
    history: int = HISTORY_SECONDS,
) -> dict[str, Any]:
    """Return a channel's feed as of `now`: the newest `limit` entries from `first` to `last`.

    Times are Unix times; both ends are included. Entries older than `history` seconds are not in
    the feed.
    """
    oldest = max(first, now - history)
    first_id = math.ceil(oldest / ENTRY_SECONDS)
    last_id = int(min(last, now) // ENTRY_SECONDS)
    first_id = max(first_id, last_id + 1 - limit)
    entries = []
    for entry_id in range(first_id, last_id + 1):
        value = values[(entry_id + CHANNELS[channel]) % len(values)]
        created_at = format_time(entry_id * ENTRY_SECONDS)
        entries.append({"created_at": created_at, "entry_id": entry_id, "field1": value})
    full_hour = (now - history) // 3600 * 3600  # the creation time stays the same between requests
    description = {
        "id": channel,
        "name": f"Recorded water flow {channel}",
        "created_at": format_time(full_hour),
        "field1": "Flow (l/s)",
        "last_entry_id": int(now // ENTRY_SECONDS),
    }
    return {"channel": description, "feeds": entries}


def format_time(seconds: float) -> str:
    """Return a Unix time as feeds write it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(FEED_TIME_FORMAT)


def parse_time(text: str | None, default: float) -> float:
    """Return a time of a request as Unix time; raise ValueError."""
    if not text:
        return default
    return datetime.strptime(text, REQUEST_TIME_FORMAT).replace(tzinfo=UTC).timestamp()


class ThingSpeakStub(ThreadingHTTPServer):
    """A server of the recording with a mode; its channels remember `history` seconds."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], history: int = HISTORY_SECONDS):
        super().__init__(address, Handler)
        self.values = read_recording()
        self.history = history
        self.uploads = UploadedChannels(reserved=CHANNELS)
        self._mode = OK
        self._mode_ends = 0.0

    def set_mode(self, mode: str, seconds: float) -> None:
        """Answer in a mode for some seconds, then as usual."""
        self._mode = mode
        self._mode_ends = time.time() + seconds

    def mode(self) -> str:
        """Return the mode in force."""
        return self._mode if self.mode_seconds_left() > 0 else OK

    def mode_seconds_left(self) -> float:
        """Return the seconds until the mode ends; 0 when it is over."""
        return max(0.0, self._mode_ends - time.time())

    def feed_answer(self, url: SplitResult) -> Answer:
        """Return the feed that a URL asks for, or ThingSpeak's error.

        `start` and `end` are times in UTC, `results` is the largest number of entries.
        """
        path = FEED_PATH.fullmatch(url.path)
        if not path:
            return error_answer(404, "error_not_found", "Not Found")
        channel = path["channel"]
        query = dict(parse_qsl(url.query))
        now = time.time()
        try:
            first = parse_time(query.get("start"), 0)
            last = parse_time(query.get("end"), now)
            results = int(query.get("results", PAGE_ENTRIES))
        except ValueError:
            message = "start and end are times, results is a number"
            return error_answer(400, "error_bad_request", message)
        limit = min(PAGE_ENTRIES, max(0, results))
        if channel in map(str, CHANNELS):
            number = int(channel)
            feed = build_feed(self.values, number, first, last, now, limit, self.history)
            return json_answer(200, feed)
        uploaded = self.uploads.feed(channel, first, last, limit)
        return json_answer(200, uploaded or NO_ACCESS)


class Handler(GuardedHandler):
    """One request to the stub: a feed, or the control of its mode."""

    server: ThingSpeakStub

    def setup(self) -> None:
        """Accept the Host names of the address that the server listens on."""
        super().setup()
        self.hosts = host_names.from_environment(str(self.server.server_address[0]))

    def do_GET(self) -> None:  # noqa: N802 - the name of http.server
        """Answer with the mode, with a feed, or as the mode fails."""
        url = urlsplit(self.path)
        mode = self.server.mode()
        if url.path == "/control":
            seconds_left = round(self.server.mode_seconds_left(), 1)
            self.send_answer(json_answer(200, {"mode": mode, "seconds_left": seconds_left}))
        elif mode == OK:
            self.send_feed(url)
        elif answer := FAILURE_ANSWERS[mode]:
            self.send_answer(answer)
        else:
            time.sleep(min(STALL_SECONDS, self.server.mode_seconds_left()))

    def do_POST(self) -> None:  # noqa: N802 - the name of http.server
        """Upload entries or set the mode; answer 403 to a web page, 400 to anything else."""
        if "Origin" in self.headers:
            self.send_answer(json_answer(403, {"error": "web pages can change nothing"}))
            return
        try:
            body = self.read_body()
            if self.server.uploads.upload(self.path, body):
                self.send_answer(json_answer(202, {"success": True}))
                return
            mode, seconds = self.read_control(body)
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError, RecursionError):
            usage = f'{{"mode": one of {", ".join(MODES)}, "seconds": 0 to {MAX_MODE_SECONDS}}}'
            self.send_answer(json_answer(400, {"error": f"POST /control {usage}"}))
            return
        self.server.set_mode(mode, seconds)
        self.send_answer(json_answer(200, {"mode": mode, "seconds_left": seconds}))

    def do_DELETE(self) -> None:  # noqa: N802 - the name of http.server
        """Clear an uploaded channel, or delete one entry of it."""
        if self.server.uploads.delete(self.path):
            self.send_answer(json_answer(200, []))
        else:
            self.send_answer(error_answer(404, "error_not_found", "Not Found"))

    def send_feed(self, url: SplitResult) -> None:
        """Answer with the feed that a URL asks for."""
        self.send_answer(self.server.feed_answer(url))

    def read_body(self) -> bytes:
        """Return the body, up to a limit; raise ValueError for an invalid length."""
        length = max(0, int(self.headers.get("Content-Length", 0)))
        return self.rfile.read(min(length, MAX_BODY_BYTES))

    def read_control(self, content: bytes) -> tuple[str, float]:
        """Return mode and seconds of a control call.

        Raise ValueError, KeyError, TypeError, OverflowError, AttributeError or RecursionError for
        a body that is no control call.
        """
        body = json.loads(content)
        mode = body["mode"]
        seconds = float(body.get("seconds", 30))
        if self.path != "/control" or mode not in MODES or not 0 <= seconds <= MAX_MODE_SECONDS:
            raise ValueError
        return mode, seconds

    def send_answer(self, answer: Answer) -> None:
        """Send an answer with its headers and its length."""
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)


def main() -> None:
    """Serve until the process is stopped."""
    redaction.protect_output()
    parser = argparse.ArgumentParser(
        description="Serve the recorded water flow as ThingSpeak would."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument(
        "--history", type=int, default=HISTORY_SECONDS, help="Seconds that a channel remembers."
    )
    options = parser.parse_args()
    server = ThingSpeakStub((options.host, options.port), options.history)
    print(
        f"replaying {len(server.values)} recorded values on {options.host}:{options.port}",
        file=sys.stderr,
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
