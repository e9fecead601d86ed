"""`python -m tests.screens` writes the images of docs/screens.md from the running stack.

Each is a row of SCREENS. Images of boards are written when a Grafana responds, at
EVARA_GRAFANA_URL or at its port beside the stack's; otherwise they stay as they are.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from io import BytesIO

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright

from observability.devstack.layout import HOST, ROOT, StackLayout, port_offset
from observability.generate.dashboards.grafana.files import DASHBOARDS
from observability.generate.registry import GENERATED

FOLDER = ROOT / "docs" / "screens"
WIDE, PHONE, BOARD = (1280, 900), (390, 844), 1600
GRAFANA, GRAFANA_PORT = "grafana", 3000
CELL, AROUND = (
    38,
    130,
)  # pixels: of a board's row with its gap, and of what stands above and below all rows
REPORT = "report"  # instead of a server: the newest load report
SETTLED = 6_000  # ms until every panel is drawn
COLOURS = 128  # pages have few: a third of the size, and nobody sees it


@dataclass(frozen=True)
class Screen:
    """One image: its server, path and viewport; `whole` includes the page to its end."""

    name: str
    server: str
    path: str
    viewport: tuple[int, int] = WIDE
    scheme: str = "light"
    whole: bool = False


SCREENS = (
    Screen("console-light", "console", "/", whole=True),
    Screen("console-dark", "console", "/", scheme="dark"),
    Screen("console-phone", "console", "/", PHONE),
    Screen("slo", "console", "/slo/readings.ingest-latency-200ms"),
    Screen("route", "console", "/routes/readings.ingest", scheme="dark"),
    Screen("alert", "console", "/alerts/TargetDown"),
    Screen("report", REPORT, "index.html", whole=True),
    *(
        Screen(
            f"board-{slug}",
            GRAFANA,
            f"/d/evara-api-{slug}?kiosk&theme={scheme}&from=now-15m&to=now{chosen}",
            WIDE,
            scheme,
        )
        for slug, scheme, chosen in (
            ("overview", "dark", ""),
            ("slo", "light", "&var-slo=readings.ingest-latency-200ms"),
            ("routes", "dark", ""),
            ("dependencies", "dark", ""),
            ("runtime", "dark", ""),
            ("jobs", "dark", ""),
            ("logs", "light", ""),
            ("load", "dark", ""),
        )
    ),
)


def grafana() -> str:
    """Return the URL of a Grafana that responds, else ""."""
    url = os.environ.get(
        "EVARA_GRAFANA_URL", f"http://{HOST}:{GRAFANA_PORT + port_offset()}"
    ).rstrip("/")
    try:
        return url if httpx.get(f"{url}/api/health", timeout=10).is_success else ""
    except httpx.HTTPError:
        return ""


def viewport(screen: Screen) -> tuple[int, int]:
    """Return the size of a board in full height, since Grafana draws only visible panels."""
    if screen.server != GRAFANA:
        return screen.viewport
    slug = screen.name.removeprefix("board-")
    panels = json.loads(
        (ROOT / GENERATED / DASHBOARDS / f"{slug}.json").read_text(encoding="utf-8")
    )["panels"]
    return BOARD, max(
        panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels
    ) * CELL + AROUND


def address(screen: Screen, layout: StackLayout) -> str:
    """Return the URL of the page; raise if it does not open or there is no report."""
    if screen.server == REPORT:
        reports = sorted(layout.reports.glob(f"*/{screen.path}"))
        if not reports:
            raise FileNotFoundError("there is no load report")
        return reports[-1].as_uri()
    url = (grafana() if screen.server == GRAFANA else layout.url(screen.server)) + screen.path
    httpx.get(url, timeout=10, follow_redirects=screen.server == GRAFANA).raise_for_status()
    return url


def main() -> int:
    """Write every image; return 2 when a page is not available."""
    layout, chromium = StackLayout.main(), shutil.which("chromium")
    if not chromium:
        print("chromium is missing; install it: sudo apt install chromium", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        boards = grafana()
        for screen in SCREENS:
            if screen.server == GRAFANA and not boards:
                fix = "name one with EVARA_GRAFANA_URL"
                print(f"  {screen.name}: skipped, no Grafana answers; {fix}")
                continue
            try:
                url = address(screen, layout)
            except (httpx.HTTPError, FileNotFoundError) as error:
                fix = "start the stack with: make up, and load it with: make load"
                print(f"{screen.name}: {error}; {fix}", file=sys.stderr)
                return 2
            width, height = viewport(screen)
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=screen.scheme,
                device_scale_factor=1,
            )
            page.goto(url, wait_until="load" if screen.server == GRAFANA else "networkidle")
            if screen.server == GRAFANA:
                page.wait_for_selector("section", timeout=60_000)
                page.wait_for_timeout(
                    SETTLED
                )  # it asks again every 10 s, so its network is never idle
            taken = Image.open(BytesIO(page.screenshot(full_page=screen.whole))).convert("RGB")
            taken.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
                FOLDER / f"{screen.name}.png", optimize=True
            )
            page.close()
            print(f"  docs/screens/{screen.name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
