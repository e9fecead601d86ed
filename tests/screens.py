"""`python -m tests.screens` takes the pictures of docs/screens.md from the running stack; each is a row of SCREENS."""

import shutil
import sys
from dataclasses import dataclass
from io import BytesIO

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright

from observability.stack.site import ROOT, Site

FOLDER = ROOT / "docs" / "screens"
WIDE, PHONE = (1280, 900), (390, 844)
REPORT = "report"  # instead of a server: the newest load report
COLOURS = 128  # pages have few: a third of the size, and nobody sees it


@dataclass(frozen=True)
class Screen:
    """One picture: whose page, at which path, seen how. `whole` takes the page to its end."""

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
)


def address(screen: Screen, site: Site) -> str:
    """Where the page is; raises when it does not open, or when there is no report."""
    if screen.server == REPORT:
        reports = sorted(site.reports.glob(f"*/{screen.path}"))
        if not reports:
            raise FileNotFoundError("there is no load report")
        return reports[-1].as_uri()
    url = site.url(screen.server) + screen.path
    httpx.get(url, timeout=10).raise_for_status()
    return url


def main() -> int:
    """Takes every picture; 2 when a page cannot be had."""
    site, chromium = Site.main(), shutil.which("chromium")
    if not chromium:
        print("chromium is missing; install it: sudo apt install chromium", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"])
        for screen in SCREENS:
            try:
                url = address(screen, site)
            except (httpx.HTTPError, FileNotFoundError) as error:
                print(f"{screen.name}: {error}; start the stack with: make up, and load it with: make load", file=sys.stderr)
                return 2
            width, height = screen.viewport
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=screen.scheme, device_scale_factor=1)
            page.goto(url, wait_until="networkidle")
            taken = Image.open(BytesIO(page.screenshot(full_page=screen.whole))).convert("RGB")
            taken.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(FOLDER / f"{screen.name}.png", optimize=True)
            page.close()
            print(f"  docs/screens/{screen.name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
