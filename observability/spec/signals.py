"""Signals: the metrics that count requests, those that failed among them, and their durations."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import NamedTuple

from observability.spec import names
from observability.spec.schema.fields import Http

Labels = dict[str, str]  # a value that starts with `~` is a regular expression
Types = dict[str, str]  # parameter of a path → its type in the OpenAPI document


class Spelling(NamedTuple):
    """How a framework writes a parameter of a path: without a converter, and with one.

    The converters are by the parameter's type in the OpenAPI document; "" is an unknown type.
    """

    plain: str
    converted: str
    converters: dict[str, tuple[str, ...]]


DURATIONS = "latency"  # the key of the histogram
ANY_SPELLING = "any"
NUMBERS = {"": ("int",), "integer": ("int",), "number": ("float",), "uuid": ("uuid",)}
SPELLINGS = {
    "openapi": Spelling("{{{name}}}", "", {}),
    "flask": Spelling("<{name}>", "<{converter}:{name}>", NUMBERS | {"string": ("string", "path")}),
    "starlette": Spelling(
        "{{{name}}}", "{{{name}:{converter}}}", NUMBERS | {"string": ("str", "path")}
    ),
    "express": Spelling(":{name}", "", {}),
}


@dataclass(frozen=True)
class Signal:
    """A metric that counts requests, and the labels that say what each of them was.

    Its label `route` holds the id of the route; or the route follows from method and path, which
    the metric spells in its own way.
    """

    metric: str  # a counter, or a histogram without its suffix
    route: str = ""
    method: str = ""
    path: str = ""
    status: str = ""
    has_classes: bool = False  # the status is a class, as in 5xx, not an exact code
    selector: tuple[tuple[str, str], ...] = ()
    spelling: str = "openapi"
    buckets: tuple[Decimal, ...] = ()  # of a histogram, in seconds; none where they are not known

    @property
    def address(self) -> tuple[str, ...]:
        """Return the labels from which the route follows; none where one label is its id."""
        return tuple(filter(None, (self.method, self.path)))

    @property
    def failed(self) -> Labels:
        """Return the labels of failed requests; none where the metric has no status."""
        return self._with_status("5xx", "~5..")

    @property
    def succeeded(self) -> Labels:
        """Return the labels of successful requests; none where the metric has no status."""
        return self._with_status("~2xx|3xx", "~[23]..")

    def _with_status(self, status_class: str, codes: str) -> Labels:
        if not self.status:
            return {}
        return {self.status: status_class if self.has_classes else codes}

    def one_status(self, code: int) -> Labels:
        """Return the label of requests that ended with this code."""
        if not self.status:
            return {}
        return {self.status: f"{code // 100}xx" if self.has_classes else str(code)}


@dataclass(frozen=True)
class Signals:
    """The signals of one service."""

    total: Signal
    bad: Signal | None = None  # else the failed ones of `total`
    latency: Signal | None = None
    codes: Signal | None = None  # requests by exact code, where a metric has these
    of_platform: bool = False  # the metrics are those of our own API, with its other metrics
    concrete_paths: bool = False  # rules for scrapes add the label `path` of these signals

    @property
    def failed(self) -> Signal:
        """Return the signal of failed requests."""
        return self.bad or self.total

    @property
    def by_status(self) -> Signal:
        """Return the signal that tells most about statuses."""
        return self.codes or self.total

    @property
    def label(self) -> str:
        """Return the label that names the route of a request, after the join if there is one."""
        return self.total.route or names.SUBJECT

    def by_key(self) -> dict[str, Signal]:
        """Return each signal that the catalogue can name, by its key there."""
        signals = {"total": self.total, "bad": self.bad, DURATIONS: self.latency}
        return {key: signal for key, signal in signals.items() if signal}

    def every(self) -> Iterator[Signal]:
        """Yield each signal."""
        for signal in (self.total, self.bad, self.latency, self.codes):
            if signal:
                yield signal


def spell(http: Http, types: Types, spelling: str) -> list[str]:
    """Return every way in which a metric may spell the path of a route."""
    styles = SPELLINGS.values() if spelling == ANY_SPELLING else [SPELLINGS[spelling]]
    return sorted({path for style in styles for path in spell_in(http, types, style)})


def spell_in(http: Http, types: Types, style: Spelling) -> Iterator[str]:
    """Yield the path of a route as one framework may write it."""
    choices = []
    for name in http.parameters:
        converters = style.converters.get(types.get(name, ""), ())
        converted = (style.converted.format(name=name, converter=one) for one in converters)
        choices.append([style.plain.format(name=name), *converted])
    template = re.sub(r"{\w+}", "{}", http.path)
    for spelled in product(*choices):
        yield template.format(*spelled)
