"""Secrets in any text, and in everything that a process writes."""

import io
import json
import logging
import subprocess
import sys
import traceback
from base64 import b64encode
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
        rf"evara\u005f{SECRET}",
        rf"evara\u005F{SECRET}",
        rf"evara\U0000005f{SECRET}",
        rf"evara\x5f{SECRET}",
        rf"evara\\u005f{SECRET}",
        rf"evara\\\\x5F{SECRET}",
        "".join(rf"\u{ord(character):04x}" for character in KEY),
        "".join(rf"\x{ord(character):02x}" for character in KEY),
        f"evara%25255F{SECRET}",
        f"api_key%3D{SECRET}",
        f"api_key%253d{SECRET}",
        f"api%5Fkey={SECRET}",
        f"api%255fkey%3D{SECRET}",
        rf"api\u005fkey={SECRET}",
        f"%22api_key%22%3A%20%22{SECRET}%22",
        f"evara%5cu005f{SECRET}",
        f"evara%255Cx5F{SECRET}",
        f"evara%u005f{SECRET}",
        rf"evara\u00255f{SECRET}",
        rf"evara\u005cu005f{SECRET}",
        f"evara&#95;{SECRET}",
        f"evara&#x5F;{SECRET}",
        f"evara&amp;#0095;{SECRET}",
        f"evara%26%2395%3b{SECRET}",
        rf"evara\u0026#x5f;{SECRET}",
        "".join(f"&#{ord(character)};" for character in KEY),
        f"{{&quot;api_key&quot;: &quot;{SECRET}&quot;}}",
        f"&#39;token&#39;: &#39;{SECRET}&#39;",
        f"token=a%5F{SECRET}",
        rf"token=a\u005f{SECRET}",
        rf'{{"token": "a\u005f{SECRET}"}}',
        rf'{{"token": "a\\b{SECRET}"}}',
        f"Authorization%3A%20Bearer%20{SECRET}",
        f"Bearer%20{SECRET}",
        f"%22Bearer%2520{SECRET}",
        f"Bearer+{SECRET}",
        f"?read_key={SECRET}",
        f"&write_key={SECRET}",
        f"program --password {SECRET}",
        f"program --db-password '{SECRET}'",
        f"['--api-key', '{SECRET}']",
    ],
)
def test_secrets_are_removed_in_any_form(text: str) -> None:
    """A key is recognised in the middle of a word, and percent-encoded."""
    redacted = redact(text)
    assert "[redacted]" in redacted
    assert SECRET[:12] not in redacted
    assert "Zm9v" not in redacted


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
def test_keys_in_base64_are_removed(before: str) -> None:
    """As in credentials without their scheme."""
    text = b64encode(f"{before}{KEY}".encode()).decode()
    redacted = redact(f"/a/{text}?b")
    assert redacted.endswith("[redacted]?b")
    assert text[-20:] not in redacted


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
        "query=evara_http_requests_total%7Bjob%3D%22api%22%7D%5B5m%5D",
        "evara%5Fhttp%5Frequests%5Ftotal",
        r"evara_http_requests_total\nevara_up\x20A",
        r"C:\users\evara",
        "evara&#95;up &amp; evara&#x5f;down",
        "program --password-file path",
        "readers of the monkey",
    ],
)
def test_names_are_kept(text: str) -> None:
    """Names of metrics and settings are what a reader of the log looks for."""
    assert redact(text) == text


@pytest.mark.parametrize("value", [KEY, f"\\{KEY}", f"{KEY}\\", f"\\\\{KEY}\n", f'"{KEY}"'])
def test_redacted_json_stays_json(value: str) -> None:
    """Backslashes before and after a secret still escape what they escaped, also in nested JSON."""
    escaped = json.dumps(value).replace("e", r"\u0065").replace("_", r"\u005f")
    for text in (f'{{"a": {escaped}}}', f'{{"token": {escaped}}}', json.dumps({"a": escaped})):
        redacted = redact(text)
        assert "Zm9v" not in redacted
        assert "[redacted]" in str(json.loads(redacted))


@pytest.mark.parametrize(
    "part",
    [
        *("\\", "%", "%25", r"\u00", "-", "evara_", r"evara\u005f", "token", "token= ", "token%20"),
        *("://", "://a:", "Bearer ", "--", " --a", "api_", "api%5F", "'", 'token"', "evara%5fa"),
        *(
            "&",
            "&amp;",
            "&#",
            "evara&#95;",
            "evara&#95;a",
            "%5c",
            "%5cu00",
            "%26",
            "&quot;",
            "ldmFyYV",
        ),
    ],
)
def test_long_hostile_text_is_kept(part: str) -> None:
    """The work grows with the length of the text, however often a secret seems to begin."""
    text = f": {part * (100_000 // len(part))}"
    assert redact(f"{text} {KEY}").endswith(" [redacted]")


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
