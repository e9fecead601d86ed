"""Numbers in environment variables, for programs that gunicorn or Locust starts from a file."""

import math
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

Number = TypeVar("Number", int, float)


def read_whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    """Return the variable; exit with 2 and a sentence if it is no whole number above 0."""
    return read(environment, name, default, int, "whole number above 0", lambda value: value > 0)


def read_number(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return the variable; exit with 2 and a sentence if it is no number above 0."""
    return read(environment, name, default, float, "number above 0", lambda value: value > 0)


def read_seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return the variable; exit with 2 and a sentence if it is no number from 0 on."""
    return read(environment, name, default, float, "number of seconds", lambda value: value >= 0)


def read(
    environment: Mapping[str, str],
    name: str,
    default: Number,
    parse: Callable[[str], Number],
    kind: str,
    is_valid: Callable[[Number], bool],
) -> Number:
    """Return the variable, or its default; exit when it is not of this kind."""
    text = environment.get(name, "")
    if not text:
        return default
    try:
        number = parse(text)
    except ValueError:
        number = parse("-1")  # valid for no kind
    if is_valid(number) and math.isfinite(number):
        return number
    sys.stderr.write(
        f"{name} is {text!r}, which is no {kind}."
        f" fix: set it to one, as in {name}={default:g}, or unset it\n"
    )
    raise SystemExit(2)
