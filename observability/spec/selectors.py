"""Selectors in PromQL that the catalogue declares, and series that they select."""

import re
from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

import promql_parser
from promql_parser import Matcher, MatchOp, VectorSelector


class Series(NamedTuple):
    """A metric with the labels of one of its series."""

    metric: str
    labels: dict[str, str]


def parse_selector(value: Any) -> str:
    """Return the text of a selector of one metric; raise ValueError for anything else."""
    text = str(value).strip()
    read_selector(text)
    return text


def parse_expression(value: Any) -> str:
    """Return PromQL that has one value per series; raise ValueError for anything else."""
    text = str(value).strip()
    try:
        promql_parser.parse(text)
        promql_parser.parse(f"max({text})")
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no PromQL with one value per series; write a metric, a selector, or an "
            "expression of such"
        ) from error
    return text


def is_selector(text: str) -> bool:
    """Return whether an expression is a selector of one metric."""
    try:
        read_selector(text)
    except ValueError:
        return False
    return True


def read_selector(text: str) -> VectorSelector:
    """Return a selector of one metric, without offset; raise ValueError for anything else."""
    try:
        tree = promql_parser.parse(text)
    except ValueError:
        tree = None
    if isinstance(tree, VectorSelector):
        is_plain = not (tree.offset or tree.at or tree.matchers.or_matchers)
        if tree.name and is_plain:
            return tree
    raise ValueError(
        f"{text!r} is no selector; write a metric and its labels, "
        'as in uploads_total{kind="batch"}, without rate() and without a range'
    )


def example(selector: str, other_than: str = "") -> Series:
    """Return a series that a selector selects, and another selector does not.

    Raise ValueError when none is found; regular expressions are tried with a few simple texts.
    """
    wanted = read_selector(selector)
    avoided = read_selector(other_than) if other_than else None
    if avoided and avoided.name != wanted.name:
        avoided = None
    matchers = wanted.matchers.matchers + (avoided.matchers.matchers if avoided else [])
    texts_by_label = list_texts(matchers)
    for values in product(*texts_by_label.values()):
        labels = dict(zip(texts_by_label, values, strict=True))
        if selects(wanted, labels) and not (avoided and selects(avoided, labels)):
            labels = {label: text for label, text in labels.items() if text}
            return Series(wanted.name or "", labels)
    raise ValueError(f"no series of {selector} was found")


def list_texts(matchers: Iterable[Matcher]) -> dict[str, list[str]]:
    """Return by label the texts that its matchers could select or leave out."""
    texts: dict[str, list[str]] = {}
    for matcher in matchers:
        of_label = texts.setdefault(matcher.name, ["", "other"])
        is_text = matcher.op in (MatchOp.Equal, MatchOp.NotEqual)
        of_label += [matcher.value] if is_text else map(simplify, matcher.value.split("|"))
    return texts


def simplify(regex: str) -> str:
    """Return a text that a simple regular expression matches."""
    text = re.sub(r"\[\^?(.)[^]]*\]", r"\g<1>", regex.replace(r"\d", "[0]"))
    text = re.sub(r"(?<!\\)\.[*+?]*", "0", text)
    return re.sub(r"\\(.)|[()*+?^$]", r"\g<1>", text)


def selects(selector: VectorSelector, labels: dict[str, str]) -> bool:
    """Return whether a selector selects the series of its metric that has these labels."""
    return all(fits(one, labels.get(one.name, "")) for one in selector.matchers.matchers)


def fits(matcher: Matcher, text: str) -> bool:
    """Return whether a matcher accepts a label's value."""
    is_match = text == matcher.value
    if matcher.op in (MatchOp.Re, MatchOp.NotRe):
        is_match = matches(matcher.value, text)
    is_negated = matcher.op in (MatchOp.NotEqual, MatchOp.NotRe)
    return is_match != is_negated


def matches(regex: str, text: str) -> bool:
    """Return whether a regular expression matches; false for syntax that Python does not have."""
    try:
        return re.fullmatch(regex, text) is not None
    except re.error:
        return False
