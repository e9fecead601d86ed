"""Values formatted for people."""

import math

import pytest

from observability.lib import charts
from observability.lib.panels import Unit


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.2, Unit.SECONDS, "200 ms"),
        (0.0, Unit.SECONDS, "0 s"),
        (59.98, Unit.SECONDS, "1 min"),
        (90.0, Unit.SECONDS, "1.5 min"),
        (180_000.0, Unit.SECONDS, "2.08 d"),
        (0.000_02, Unit.SECONDS, "20 µs"),
        (0.35, Unit.RATIO, "35 %"),
        (0.9995, Unit.RATIO, "99.95 %"),
        (-1.5, Unit.RATIO, "-150 %"),
        (1200.0, Unit.NUMBER, "1.2 k"),
        (0.0, Unit.NUMBER, "0"),
        (12.5, Unit.REQUESTS, "12.5/s"),
        (64e6, Unit.BYTES, "64 MB"),
        (14.4, Unit.TIMES, "14.4×"),
        (math.nan, Unit.RATIO, "–"),
        (None, Unit.RATIO, "–"),
    ],
)
def test_values_have_a_prefix_and_a_unit(value: float | None, unit: Unit, written: str) -> None:
    """Thousands, units and signs are written as people read them."""
    assert charts.text(value, unit) == written
