"""Secrets are removed from texts by their form and by their name, before a text leaves a process.

Log lines, problem documents, error reports and traces use it, and the output of every process.
"""

import re
import sys
from base64 import b64encode
from typing import Any

# What stands before the two hex digits of a character that is percent-encoded or escaped as in JSON
# or Python, also one after the other, repeatedly. It has all backslashes of a row: redacted JSON
# stays JSON.
BACKSLASHES = r"(?<!\\)\\++"
UNICODE = "(?:u00|U000000|x)"
ESCAPED_BACKSLASHES = rf"(?:(?:%(?:25)*+|{BACKSLASHES}{UNICODE})(?i:5c)){{1,8}}+"
ESCAPE = rf"(?:%(?:u00)?|(?:{BACKSLASHES}|{ESCAPED_BACKSLASHES}){UNICODE})(?:25)*+"
AMPERSAND = rf"(?:&|{ESCAPE}26)(?:amp;)*+"  # begins an HTML entity
SPACE = rf"(?:\s|{ESCAPE}20)"
EQUALS = rf"{SPACE}*+ (?:[=:]|{ESCAPE}3[ad]) {SPACE}*+"
QUOTE = rf"""(?:\\*["']|{AMPERSAND}(?:quot|\#34|\#39|\#x27);)"""
SCHEME = rf"(?:(?:Bearer|Basic) (?:{SPACE}++|\+))"
VALUE = rf"""(?:[^\s"'\\&,;(){{}}\[\]]|{ESCAPE}[0-9a-f]{{2}})++"""
NAME = rf"""(?:
    (?:api|channel|access|private|secret|read|write) (?:[-_]|{ESCAPE}(?:2d|5f))? key
    | authorization | password | passwd | secret | token | dsn
)"""
PREFIX = "evara_"  # of an API key


def entity(decimal: str, hexadecimal: str) -> str:
    """Return a pattern of an HTML entity; the arguments are patterns of the character's number."""
    number = rf"(?:0*+(?:{decimal})|[xX]0*+(?i:{hexadecimal}))"
    return rf"{AMPERSAND}(?:\#|{ESCAPE}23){number}(?:;|{ESCAPE}(?i:3b)|(?![0-9a-fA-F;]))"


def encoded(character: str) -> str:
    """Return a pattern of the character, as it is, percent-encoded, escaped, or as an entity."""
    code = ord(character)
    return f"(?:{character}|{ESCAPE}(?i:{code:02x})|{entity(str(code), f'{code:02x}')})"


def base64_parts(text: str) -> list[str]:
    """Return what base64 makes of the text in the middle of a longer one, at each offset."""
    parts = []
    for offset in range(3):
        digits = b64encode(b"-" * offset + text.encode()).decode().rstrip("=")
        first = (offset * 8 + 5) // 6  # digits before it also encode what stands before the text
        whole = (offset + len(text)) * 8 // 6
        parts.append(digits[first:whole])
    return parts


# In any text, also in the middle of a word. A metric name has neither digits nor capitals.
LOWER_HEX = "2d|5f|6[1-9a-f]|7[0-9a]"
UPPER_HEX = "3[0-9]|4[1-9a-f]|5[0-9a]"
LOWER_ENTITY = entity("45|9[5789]|1[01][0-9]|12[0-2]", LOWER_HEX)
UPPER_ENTITY = entity("4[89]|5[0-7]|6[5-9]|[78][0-9]|90", UPPER_HEX)
LOWER = f"(?:[a-z_-]|{ESCAPE}(?i:{LOWER_HEX})|{LOWER_ENTITY})"
UPPER = f"(?:[0-9A-Z]|{ESCAPE}(?i:{UPPER_HEX})|{UPPER_ENTITY})"
API_KEY = "".join(map(encoded, PREFIX)) + f"(?={LOWER}{{0,63}}+{UPPER})(?:{LOWER}|{UPPER}){{8,}}+"
BASE64_KEY = f"(?:{'|'.join(base64_parts(PREFIX))})[A-Za-z0-9+/_-]{{20,}}+=*"
# Every secret contains one of these; most paths do not.
PARTS = "|".join((PREFIX, *base64_parts(PREFIX)))
MAY_HOLD_SECRET = re.compile(rf"""[\s:=%+&"'\\]|{PARTS}""")
# Values end before quotes and backslashes, so that redacted JSON stays JSON.
SECRETS = re.compile(
    rf"""(?ix)
    # scheme://user:password@
    (?P<url> ://[^\s/:@"'\\]*: ) (?:[^\s"\\]|\\[^nrt]){{1,100}}@
    | (?P<quoted> {NAME} {QUOTE} \s*:\s* {QUOTE} ) (?:[^"'\\]|\\++[^"'])++
    | (?P<option> (?<![\w-])--[\w-]*?{NAME} (?:\s++|{QUOTE},\s*{QUOTE}) {QUOTE}? ) {VALUE}
    | (?P<bare> {NAME} (?:{ESCAPE}2[27])? {EQUALS} (?:{QUOTE}|{ESCAPE}2[27])? {SCHEME}? ) {VALUE}
    | (?P<scheme> {SCHEME} ) [\w.~+/=%-]{{6,}}+
    | (?-i: (?=[e%&\\]) {API_KEY} | {BASE64_KEY} )
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
