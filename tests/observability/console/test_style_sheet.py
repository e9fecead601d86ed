"""The style sheet: palette, contrast, and external text."""

import re
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient

from observability.lib import panels
from tests.observability.console.conftest import FakeServers
from tests.observability.console.reading import alert


def test_the_style_sheet_has_the_palette(app: Flask) -> None:
    """Colours of verdicts are those of the charts and of Grafana."""
    sheet = (Path(app.static_folder or "") / "console.css").read_text(encoding="utf-8")
    colour_by_name = dict(re.findall(r"--(\w+): (#[0-9A-F]{6});", sheet))
    palette = {
        "good": panels.GOOD,
        "bad": panels.BAD,
        "warn": panels.WARN,
        "blue": panels.BLUE,
        "idle": panels.GREY,
    }
    assert {name: colour_by_name[name] for name in palette} == palette


def test_faint_text_has_enough_contrast(app: Flask) -> None:
    """It is 4.5 on every background, in both schemes; no text is transparent."""
    sheet = (Path(app.static_folder or "") / "console.css").read_text(encoding="utf-8")
    assert [line for line in sheet.splitlines() if "opacity" in line] == [
        ".urgent .track { fill: var(--bad); opacity: .3; }"
    ]
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9A-Fa-f]{6});", part))
        for part in sheet.split("* { box-sizing")[0].split("@media")
    )

    def brightness(colour: str) -> float:
        shares = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
        linear = [
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
            for share in shares
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme in (light, light | dark):
        for below in ("page", "card", "soft", "good-soft", "bad-soft", "warn-soft"):
            one, other = sorted(brightness(scheme[name]) + 0.05 for name in ("faint", below))
            assert other / one >= 4.5, (below, other / one)


def test_long_words_and_foreign_scripts_are_contained(
    client: FlaskClient, app: Flask, servers: FakeServers
) -> None:
    """External text may wrap anywhere, and its writing direction is isolated."""
    servers.alerts = [alert("TargetDown", "page", job="api\u202e"), alert("AboutNothing", "page")]
    text = client.get("/").text
    assert "<bdi>api\u202e</bdi>" in text
    assert '<td class="summary"><bdi>what is wrong</bdi>' in text
    assert '<td data-name="about"></td>' in text  # empty, so that a phone leaves it out
    sheet = (Path(app.static_folder or "") / "console.css").read_text(encoding="utf-8")
    assert re.search(r"\.summary \{[^}]*overflow-wrap: anywhere", sheet)
