"""The metrics of a service: of its page, as Prometheus would store it, or those that it stores."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from observability.lib.prometheus import Prometheus
from observability.lib.remote import Address, Remote

OPENMETRICS = "application/openmetrics-text"
ACCEPT = f"{OPENMETRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # as Prometheus
NAMES = re.compile(r"^([a-zA-Z_:][\w:]*)(?=[ \t{])", re.MULTILINE)
COUNTER = "_total"
NO_PAGE = "name the page that Prometheus scrapes, as in --metrics http://HOST:8000/metrics"
Labels = dict[str, str]


@dataclass(frozen=True)
class Page:
    """The labels of every sample by its name, and the type of every metric that declares one."""

    url: str  # without credentials
    samples: dict[str, list[Labels]]
    types: dict[str, str]


def fetch_page(address: Address) -> Page:
    """Return the metrics page at a URL; raise Unreachable."""
    headers = (("Accept", ACCEPT), *(address.headers or ()))
    remote = Remote("the metrics page", address.url, headers=headers)
    response = remote.get()
    if not response.is_success:
        raise remote.refusal(response)
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    try:
        samples, types = parse(response.text, is_openmetrics=content_type == OPENMETRICS)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        kind = content_type or "an unknown type"
        raise remote.failure(f"answers with {kind}, not with metrics ({error})", NO_PAGE) from error
    if not types and not samples:
        raise remote.failure("answers without any metric", NO_PAGE)
    return Page(remote.url, samples, types)


def read_stored(prometheus: Prometheus, series: Iterable[str]) -> Page:
    """Return the series of these names that a Prometheus has now; raise Unreachable."""
    samples = {name: [labels for labels, _ in prometheus.query(name)] for name in series}
    present = {name: found for name, found in samples.items() if found}
    return Page(prometheus.url, present, {})


def parse(text: str, *, is_openmetrics: bool) -> tuple[dict[str, list[Labels]], dict[str, str]]:
    """Return the samples and types of a page; raise ValueError, or what the parser raises.

    prometheus_client adds `_total` to the names of counters; Prometheus stores what is written.
    """
    used = openmetrics_parser if is_openmetrics else parser
    written = set(NAMES.findall(text))
    samples: dict[str, list[Labels]] = {}
    types = {}
    for family in used.text_string_to_metric_families(text):
        types[family.name] = family.type
        for sample in family.samples:
            bare = sample.name.removesuffix(COUNTER)
            name = bare if sample.name not in written and bare in written else sample.name
            samples.setdefault(name, []).append(dict(sample.labels))
    return samples, types
