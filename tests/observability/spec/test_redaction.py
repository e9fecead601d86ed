"""Secrets in any text, and in everything that a process writes."""

import io
import logging
import subprocess
import sys
import traceback
from urllib.parse import quote

import pytest

from observability.spec import redaction
from observability.spec.redaction import RedactedStream, redact

SECRET = "Zm9vYmFyYmF6cXV4LXNlY3JldF9vZl9hX2tleQ-0123"
KEY = f"evara_{SECRET}"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"K{KEY}",
        f"x_{KEY}",
        f"0{KEY}0",
        f"'{KEY}'",
        f"b'{KEY}'",
        f"Authorization Bearer {KEY}",
        f"/a/{KEY}/b",
        f"/?q={KEY}&r=1",
        f"é{KEY}é",
        f"evara_evara_{SECRET}",
        f"%65vara_{SECRET}",
        f"evara%5f{SECRET}",
        f"evara%255F{SECRET}",
        "".join(f"%{ord(character):02X}" for character in KEY),
        quote(quote(KEY).replace("_", "%5F")),
        f"https://user:{SECRET}@host/path",
        f"?api_key={SECRET}",
        f'{{"webhook_secret": "{SECRET}"}}',
    ],
)
def test_secrets_are_removed_in_any_form(text: str) -> None:
    """A key is recognised in the middle of a word, and percent-encoded."""
    redacted = redact(text)
    assert "[redacted]" in redacted
    assert SECRET[:12] not in redacted
    assert "Zm9v" not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "evara_http_requests_total",
        "evara_http_request_duration_seconds_bucket{le=",
        "EVARA_DATABASE_URL",
        "evara_",
        "evara%20is down",
        "/api/v1/nodes/main-branch",
        "100% of evara_limiter_fallbacks_total",
    ],
)
def test_names_are_kept(text: str) -> None:
    """Names of metrics and settings are what a reader of the log looks for."""
    assert redact(text) == text


def test_everything_that_is_written_is_redacted() -> None:
    """Loggers with arguments, chained tracebacks and print write to the same stream."""
    output = io.StringIO()
    stream = RedactedStream(output)
    handler = logging.StreamHandler(stream)
    logger = logging.Logger("any")
    logger.addHandler(handler)
    try:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            raise KeyError(f"token={SECRET}") from error
    except KeyError:
        logger.exception("failed for %s and %r", KEY, {"api_key": SECRET})
        traceback.print_exc(file=stream)
    print("a", KEY, file=stream)
    stream.writelines([KEY, "\n"])
    assert SECRET not in output.getvalue()
    assert output.getvalue().count("[redacted]") >= 8


def test_output_of_a_process_is_redacted() -> None:
    """Warnings, an uncaught exception and both streams; protecting twice changes nothing."""
    program = f"""
import sys, warnings
from observability.spec import redaction
redaction.protect_output()
redaction.protect_output()
print({KEY!r})
print({KEY!r}, file=sys.stderr)
warnings.warn({KEY!r})
raise RuntimeError({KEY!r})
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.stdout == "[redacted]\n"
    assert "RuntimeError: [redacted]" in result.stderr
    assert SECRET not in result.stderr


def test_commands_may_print_a_new_key(capsys: pytest.CaptureFixture[str]) -> None:
    """Only standard error is protected in a process that prints keys for its user."""
    stdout, stderr = sys.stdout, sys.stderr
    try:
        redaction.protect_errors()
        print(KEY)
        print(KEY, file=sys.stderr)
    finally:
        sys.stdout, sys.stderr = stdout, stderr
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{KEY}\n", "[redacted]\n")
