"""Secrets are removed from texts by their form and by their name, before a text leaves a process.

Log lines, problem documents, error reports and traces use it, and the output of every process.
"""

import re
import sys
from typing import Any

# What stands before the two hex digits of a character that is percent-encoded or escaped as in JSON
# or Python, once or repeatedly. It has all backslashes of a row: redacted JSON stays JSON.
ESCAPE = r"(?:%(?:25)*+|(?<!\\)\\++(?:u00|U000000|x))"
SPACE = rf"(?:\s|{ESCAPE}20)"
EQUALS = rf"{SPACE}*+ (?:[=:]|{ESCAPE}3[ad]) {SPACE}*+"
QUOTE = r"""(?:\\*["'])"""
SCHEME = rf"(?:(?:Bearer|Basic) (?:{SPACE}++|\+))"
VALUE = rf"""(?:[^\s"'\\&,;(){{}}\[\]]|{ESCAPE}[0-9a-f]{{2}})++"""
NAME = rf"""(?:
    (?:api|channel|access|private|secret|read|write) (?:[-_]|{ESCAPE}(?:2d|5f))? key
    | authorization | password | passwd | secret | token | dsn
)"""
PREFIX = "evara_"  # of an API key


def encoded(character: str) -> str:
    """Return a pattern of the character, as it is, percent-encoded or escaped."""
    return f"(?:{character}|{ESCAPE}(?i:{ord(character):02x}))"


# In any text, also in the middle of a word. A metric name has neither digits nor capitals.
LOWER = f"(?:[a-z_-]|{ESCAPE}(?i:2d|5f|6[1-9a-f]|7[0-9a]))"
UPPER = f"(?:[0-9A-Z]|{ESCAPE}(?i:3[0-9]|4[1-9a-f]|5[0-9a]))"
API_KEY = "".join(map(encoded, PREFIX)) + f"(?={LOWER}{{0,63}}+{UPPER})(?:{LOWER}|{UPPER}){{8,}}+"
# Every secret contains one of these; most paths do not.
MAY_HOLD_SECRET = re.compile(rf"""[\s:=%+"'\\]|{PREFIX}""")
# Values end before quotes and backslashes, so that redacted JSON stays JSON.
SECRETS = re.compile(
    rf"""(?ix)
    # scheme://user:password@
    (?P<url> ://[^\s/:@"'\\]*: ) (?:[^\s"\\]|\\[^nrt]){{1,100}}@
    | (?P<quoted> {NAME} {QUOTE} \s*:\s* {QUOTE} ) (?:[^"'\\]|\\++[^"'])++
    | (?P<option> (?<![\w-])--[\w-]*?{NAME} (?:\s++|{QUOTE},\s*{QUOTE}) {QUOTE}? ) {VALUE}
    | (?P<bare> {NAME} (?:{ESCAPE}2[27])? {EQUALS} (?:{QUOTE}|{ESCAPE}2[27])? {SCHEME}? ) {VALUE}
    | (?P<scheme> {SCHEME} ) [\w.~+/=%-]{{6,}}+
    | (?-i: {API_KEY} )
    """
)


def redact(text: str) -> str:
    """Return the text without tokens, keys, passwords and credentials in URLs; JSON stays JSON."""
    if not MAY_HOLD_SECRET.search(text):
        return text
    return SECRETS.sub(replacement, text)


def replacement(match: re.Match[str]) -> str:
    """Return what replaces a match of SECRETS: its prefix and a mark."""
    if match["url"]:
        return f"{match['url']}[redacted]@"
    prefix = match[match.lastgroup] if match.lastgroup else ""
    return f"{prefix}[redacted]"


class RedactedStream:
    """A text stream from which secrets are removed, whoever writes: loggers, tracebacks, print."""

    def __init__(self, stream: Any):
        self.below = stream

    def write(self, text: str) -> int:
        """Write the redacted text; return the length of the text."""
        self.below.write(redact(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


def original(stream: Any) -> Any:
    """Return the stream below a RedactedStream, for text that is redacted already."""
    return getattr(stream, "below", stream)


def protect_errors() -> None:
    """Remove secrets from everything that this process writes to standard error from now on."""
    protected: Any = RedactedStream(original(sys.stderr))
    sys.stderr = protected


def protect_output() -> None:
    """Remove secrets from standard output as well; a command that prints a new key must not."""
    protect_errors()
    protected: Any = RedactedStream(original(sys.stdout))
    sys.stdout = protected
