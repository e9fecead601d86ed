"""Values as people write them, with their unit."""

import math

from observability.lib.panels import Unit

Sizes = tuple[tuple[float, str], ...]  # with their names, the largest first
TIMES: Sizes = (
    (86_400.0, " d"),
    (3600.0, " h"),
    (60.0, " min"),
    (1.0, " s"),
    (1e-3, " ms"),
    (1e-6, " µs"),
)
THOUSANDS: Sizes = ((1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, ""))
BYTES: Sizes = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B"))
SUFFIXES = {Unit.TIMES: "×", Unit.REQUESTS: "/s", Unit.PER_SECOND: "/s"}
ROUNDING = 0.9995  # 59.97 s is written as 1 min, since three digits of it are 60.0 s


def text(value: float | None, unit: Unit) -> str:
    """Return a value as people write it: 200 ms, 1.2 k, 35 %, 64 MB."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == Unit.RATIO:
        return f"{value * 100:.4g} %"
    if unit == Unit.SECONDS:
        return in_largest_size(value, TIMES) if value else "0 s"
    if unit == Unit.BYTES:
        return in_largest_size(value, BYTES)
    return in_largest_size(value, THOUSANDS) + SUFFIXES.get(unit, "")


def in_largest_size(value: float, sizes: Sizes) -> str:
    """Return a value in three digits with the largest size that it reaches, else the smallest."""
    reached = (size for size in sizes if abs(value) >= size[0] * ROUNDING)
    size, name = next(reached, sizes[-1])
    return f"{value / size:.3g}{name}"
