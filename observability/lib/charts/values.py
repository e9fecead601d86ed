"""Values as people write them, with their unit."""

import math

from observability.lib.panels import Unit

# Sizes with their names, the largest first.
TIMES = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SUFFIXES = {Unit.BYTES: "B", Unit.TIMES: "×", Unit.REQUESTS: "/s", Unit.PER_SECOND: "/s"}
ROUNDING = 0.9995  # 59.97 s is written as 1 min, since three digits of it are 60.0 s


def text(value: float | None, unit: Unit) -> str:
    """Return a value as people write it: 200 ms, 1.2 k, 35 %, 64 MB."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == Unit.RATIO:
        return f"{value * 100:.4g} %"
    if unit == Unit.SECONDS:
        return duration_text(value)
    size, prefix = next((step for step in THOUSANDS if abs(value) >= step[0]), THOUSANDS[-1])
    digits = 3 if abs(value) >= 1 else 2
    space = " " if prefix or unit == Unit.BYTES else ""
    return f"{value / size:.{digits}g}{space}{prefix}{SUFFIXES.get(unit, '')}"


def duration_text(seconds: float) -> str:
    """Return a duration in the largest unit that it reaches."""
    if seconds == 0:
        return "0 s"
    reached = (unit for unit in TIMES if abs(seconds) >= unit[0] * ROUNDING)
    size, name = next(reached, TIMES[-1])
    return f"{seconds / size:.3g} {name}"
