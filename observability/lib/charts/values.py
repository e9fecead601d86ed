"""Values as people write them, with their unit."""

import math

from observability.lib.panels import Unit

Sizes = tuple[tuple[float, str], ...]  # with their names, the largest first
TIMES: Sizes = (
    (86_400.0, "d"),
    (3600.0, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (1e-3, "ms"),
    (1e-6, "µs"),
)
THOUSANDS: Sizes = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SUFFIXES = {
    Unit.BYTES: "B",
    Unit.TIMES: "×",
    Unit.REQUESTS: "/s",
    Unit.PER_SECOND: "/s",
}
ROUNDING = 0.9995  # 59.97 s is written as 1 min, since three digits of it are 60.0 s


def text(value: float | None, unit: Unit) -> str:
    """Return a value as people write it: 200 ms, 1.2 k, 35 %, 64 MB."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == Unit.RATIO:
        return f"{value * 100:.4g} %"
    if unit == Unit.SECONDS:
        return duration_text(value)
    return quantity_text(value, unit)


def duration_text(seconds: float) -> str:
    """Return a duration in the largest unit that it reaches."""
    if seconds == 0:
        return "0 s"
    size, name = largest_reached(seconds / ROUNDING, TIMES)
    return f"{seconds / size:.3g} {name}"


def quantity_text(value: float, unit: Unit) -> str:
    """Return a number with the prefix of thousands that it reaches, and the suffix of its unit."""
    size, prefix = largest_reached(value, THOUSANDS)
    digits = 3 if abs(value) >= 1 else 2
    number = f"{value / size:.{digits}g}"
    suffix = prefix + SUFFIXES.get(unit, "")
    if prefix or unit == Unit.BYTES:
        return f"{number} {suffix}"
    return number + suffix


def largest_reached(value: float, sizes: Sizes) -> tuple[float, str]:
    """Return the largest size that a value reaches, else the smallest."""
    reached = (size for size in sizes if abs(value) >= size[0])
    return next(reached, sizes[-1])
