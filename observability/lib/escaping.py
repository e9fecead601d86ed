"""Text of the catalogue as literal text in other languages: one function, or value, per language.

Text of the catalogue is prose in which `this` is code; its words are separated by single spaces. An
alert's `summary` is no such text but a template of Prometheus, a metric's `query` is PromQL.
"""

import re
from collections.abc import Callable
from functools import cache
from html import escape

CODE = re.compile(r"(`[^`]+`)")
# `_` within a word marks nothing.
MARKS = r"[\\`*<>|~&$!\[\]]|(?<!\w)_|_(?!\w)"
MARKDOWN_MARKS = re.compile(MARKS)
MARKDOWN_LINE_START = re.compile(r"^(?=[-+#=])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])")
GRAFANA_MARKS = re.compile(MARKS + r"|[{}]|^[-+#=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]")
BACKTICKS = re.compile(r"`+")
# A pipeline of Alertmanager's templates, for the value before it
SLACK = ' | reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;"'


def go_template(text: str) -> str:
    """Return text for annotations, which Prometheus, Loki and Alertmanager expand as templates."""
    return text.replace("{{", '{{ "{{" }}')


def html(text: str) -> str:
    """Return text for HTML."""
    return write(text, plain=escape, code=lambda code: f"<code>{escape(code)}</code>")


@cache
def markdown(text: str) -> str:
    """Return text for a line of Markdown; a runbook has the same lines on many pages."""
    return write(text, plain=markdown_plain, code=code_span)


@cache
def markdown_cell(text: str) -> str:
    """Return text for a cell of a table in Markdown, where `|` also ends a span of code."""
    return write(text, plain=markdown_plain, code=lambda code: code_span(code).replace("|", r"\|"))


def markdown_plain(text: str) -> str:
    """Return text without code for a line of Markdown."""
    return MARKDOWN_LINE_START.sub(r"\\", MARKDOWN_MARKS.sub(r"\\\g<0>", text))


def code_span(code: str) -> str:
    """Return a span of code in Markdown, between enough backticks."""
    if "`" not in code:
        return f"`{code}`"
    marks = "`" * (longest_backticks(code) + 1)
    return f"{marks} {code} {marks}"


def code_fence(code: str) -> str:
    """Return the line before and after a block of code in Markdown."""
    return "`" * max(3, longest_backticks(code) + 1)


def longest_backticks(code: str) -> int:
    """Return the length of the longest run of backticks."""
    return max(map(len, BACKTICKS.findall(code)), default=0)


def grafana(text: str) -> str:
    """Return text for a panel's description: Markdown in which `$name` is a variable.

    Variables are replaced first, in code, too; only HTML can write a dollar that is none.
    """
    return write(text, plain=references, code=lambda code: f"<code>{references(code)}</code>")


def references(text: str) -> str:
    """Return text whose marks are HTML's character references."""
    return GRAFANA_MARKS.sub(lambda mark: f"&#{ord(mark[0])};", text)


def write(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Return the text, with its prose and its code each written by a function."""
    parts = CODE.split(text)  # every second one is code
    written = [code(part[1:-1]) if number % 2 else plain(part) for number, part in enumerate(parts)]
    return "".join(written)
