"""The grammar of numbers and times in texts from outside, decimal and in ASCII; printable texts.

Python's parsers accept more: `float("1_000")`, `int("٣")`, `fromisoformat("2026-W01-1")`.
"""

import re
from datetime import datetime

DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[0-9]{1,18}")  # at most what a BIGINT holds
# A calendar date and a time of ISO 8601's extended format; the zone may be missing.
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
    r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
SPACE = " \t\r\n"  # may surround a decimal number


def parse_decimal(text: str) -> float:
    """Return the number, infinite when it is too large for a float; raise ValueError."""
    text = text.strip(SPACE)
    if not DECIMAL.fullmatch(text):
        raise ValueError("is no decimal number")
    return float(text)


def parse_whole(text: str) -> int:
    """Return the whole number, which is not negative; raise ValueError."""
    if not WHOLE.fullmatch(text):
        raise ValueError("is no whole number")
    return int(text)


def parse_time(text: str) -> datetime:
    """Return the time, without a zone if the text has none; raise ValueError."""
    if not TIME.fullmatch(text):
        raise ValueError("is no time of ISO 8601")
    return datetime.fromisoformat(text.upper())


def printable(text: str) -> str:
    """Return the text with escapes for control characters and surrogates.

    PostgreSQL stores no NUL, UTF-8 encodes no surrogates, and terminals obey control characters.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
