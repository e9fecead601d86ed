"""A stand-in for ThingSpeak: serves a real recording in its feed format, with a clock that moves, and misbehaves on demand.

The recording is data/water-flow.csv. Channels 1001 to 1003 play it from different places, one entry a minute, endlessly:
the entry of a given minute is always the same one, so that a restart changes nothing. Standard library only.

    python -m loadtests.thingspeak_stub --port 8091
    curl -X POST localhost:8091/control -d '{"mode": "fail", "seconds": 30}'     # or stall, throttle, rubbish, page, ok
"""

import argparse
import csv
import json
import sys
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RECORDING = Path(__file__).parent / "data" / "water-flow.csv"
CHANNELS = {1001: 0, 1002: 421, 1003: 842}  # channel → where in the recording it starts
STEP = 60  # seconds between entries
HISTORY = 7 * 86400  # seconds that a channel remembers; with STEP, more than one page of 8 000
PAGE = 8_000
MODES = ("ok", "fail", "stall", "throttle", "rubbish", "page")
STALL = 60.0
LONGEST = 86_400  # seconds that a mode may last, so that every one ends by itself
LARGEST_BODY = 65_536
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def recording() -> list[str]:
    """The values as ThingSpeak would hold them: texts."""
    with RECORDING.open(encoding="utf-8") as file:
        return [row[1] for row in csv.reader(file)][1:]


def feed(
    values: list[str],
    channel: int,
    first: float,
    last: float,
    now: float,
    most: int = PAGE,
    history: int = HISTORY,
) -> dict[str, Any]:
    """The answer for entries from `first` to `last` (Unix seconds), the newest `most` of them, at the time `now`."""
    begin = max(first, now - history)
    numbers = range(int(-(-begin // STEP)), int(min(last, now) // STEP) + 1)
    feeds = [
        {
            "created_at": written(number * STEP),
            "entry_id": number,
            "field1": values[(number + CHANNELS[channel]) % len(values)],
        }
        for number in numbers[-most:]
        if most
    ]
    about = {
        "id": channel,
        "name": f"Recorded water flow {channel}",
        "created_at": written(
            (now - history) // 3600 * 3600
        ),  # not another time with every question
        "field1": "Flow (l/s)",
        "last_entry_id": int(now // STEP),
    }
    return {"channel": about, "feeds": feeds}


def written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Replay(ThreadingHTTPServer):
    """Holds the recording and the present mode; its channels remember `history` seconds."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], history: int = HISTORY):
        super().__init__(address, Handler)
        self.values, self.history = recording(), history
        self.mode, self.until = "ok", 0.0

    def behave(self, mode: str, seconds: float) -> None:
        self.mode, self.until = mode, time.time() + seconds

    def present(self) -> str:
        return self.mode if time.time() < self.until else "ok"


class Handler(BaseHTTPRequestHandler):
    server: Replay

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        mode = self.server.present()
        if url.path == "/control":
            return self.answer(
                200,
                {"mode": mode, "seconds_left": round(max(0.0, self.server.until - time.time()), 1)},
            )
        if mode == "stall":
            time.sleep(min(STALL, max(0.0, self.server.until - time.time())))
            return None
        if mode == "fail":
            return self.answer(500, error("error_internal", "Internal Server Error"))
        if mode == "throttle":
            return self.answer(
                429, error("error_too_many_requests", "Too many requests"), {"Retry-After": "1"}
            )
        if mode == "rubbish":
            return self.send(200, b'{"channel": {"id": 1001}, "feeds": [{"created_at": "yest', {})
        if mode == "page":
            return self.send(
                200,
                b"<!doctype html><title>We will be back soon</title>",
                {"Content-Type": "text/html"},
            )
        return self.feeds(
            url.path.strip("/").split("/"),
            {key: value[-1] for key, value in parse_qs(url.query).items()},
        )

    def feeds(self, parts: list[str], query: dict[str, str]) -> None:
        if len(parts) != 3 or parts[0] != "channels" or parts[2] != "feeds.json":
            return self.answer(404, error("error_not_found", "Not Found"))
        if not parts[1].isdecimal() or int(parts[1]) not in CHANNELS:
            return self.answer(200, -1)
        now = time.time()
        try:
            first, last = moment(query.get("start"), 0), moment(query.get("end"), now)
            results = min(PAGE, max(0, int(query.get("results", PAGE))))
        except ValueError:
            return self.answer(
                400, error("error_bad_request", "start and end are times, results is a number")
            )
        return self.answer(
            200,
            feed(self.server.values, int(parts[1]), first, last, now, results, self.server.history),
        )

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(min(max(length, 0), LARGEST_BODY)))
            mode, seconds = body["mode"], float(body.get("seconds", 30))
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError, RecursionError):
            mode, seconds = None, 0.0
        if self.path != "/control" or mode not in MODES or not 0 <= seconds <= LONGEST:
            usage = (
                f'POST /control {{"mode": one of {", ".join(MODES)}, "seconds": 0 to {LONGEST}}}'
            )
            return self.answer(400, {"error": usage})
        self.server.behave(mode, seconds)
        return self.answer(200, {"mode": mode, "seconds_left": seconds})

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(body).encode(), headers or {})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(body))} | headers
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A line per request helps nobody."""


def error(code: str, message: str) -> dict[str, Any]:
    return {"status": "error", "error": {"error_code": code, "message": message, "details": ""}}


def moment(text: str | None, default: float) -> float:
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC).timestamp() if text else default


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve the recorded water flow as ThingSpeak would."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    arguments = parser.parse_args()
    server = Replay((arguments.host, arguments.port))
    print(
        f"replaying {len(server.values)} recorded values on {arguments.host}:{arguments.port}",
        file=sys.stderr,
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
