"""The web pages of a running stack."""

import re

import httpx

from observability.devstack.layout import COMPOSE, StackLayout
from observability.lib.http import responds, tls_context

Page = tuple[str, str, str]  # label, name of the server, path
COMPOSE_PAGES = [
    ("API with https", "tls", "/docs"),
    ("Grafana", "grafana", ""),
    ("Traces", "jaeger", ""),
    ("Mailbox", "mailpit", ""),
    ("Load runs", "locust", ""),
]
SCRIPT = re.compile(r'src="([^"]*)')


def find_addresses(layout: StackLayout, timeout: float = 5.0) -> list[tuple[str, str]]:
    """Return (label, URL) of each page that responds within `timeout` seconds."""
    return [
        (label, layout.address(server) + path)
        for label, server, path in pages(layout)
        if responds(layout.url(server) + path, timeout)
    ]


def pages(layout: StackLayout) -> list[Page]:
    """Return the pages of the stack's mode, none of which is blank."""
    prometheus_path = "/alerts" if has_ui(layout.url("prometheus")) else "/api/v1/rules"
    alertmanager_path = "/" if has_ui(layout.url("alertmanager")) else "/api/v2/alerts"
    addresses = [
        ("Console", "console", ""),
        ("API", "api", "/docs"),
        ("Metrics of the API", "metrics", "/metrics"),
        ("Prometheus", "prometheus", prometheus_path),
        ("Alertmanager", "alertmanager", alertmanager_path),
        ("Labels of the logs in Loki", "loki", "/loki/api/v1/labels"),
    ]
    if layout.mode == COMPOSE:
        addresses += COMPOSE_PAGES
    return addresses


def has_ui(url: str) -> bool:
    """Tell whether the scripts of a server's page exist; distributions may package none."""
    try:
        page = httpx.get(url, follow_redirects=True, timeout=2, verify=tls_context())
    except httpx.HTTPError:
        return False
    scripts = [str(page.url.join(source)) for source in SCRIPT.findall(page.text)]
    return bool(scripts) and all(responds(script, 2) for script in scripts)
