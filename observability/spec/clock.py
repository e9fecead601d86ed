"""The intervals of a Plan."""

from decimal import Decimal
from typing import NamedTuple


class Clock(NamedTuple):
    """Intervals in seconds."""

    scrape: Decimal
    evaluate: Decimal
    thin: Decimal  # between samples of the thinned series
    constants: Decimal  # between samples of what never changes
    long: Decimal  # between evaluations of the longest windows
