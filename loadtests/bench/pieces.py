"""The cost of each piece of the app, with the words of pieces.yaml.

A piece costs what the whole app costs more than the app without it. What the pieces do not explain
is the rest: what no row names, and what pieces cost one another.
"""

from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from loadtests.bench import apps, measure
from loadtests.bench.measure import Costs, Estimate, compute_difference, to_micros

TEXTS = yaml.safe_load(Path(__file__).with_name("pieces.yaml").read_text(encoding="utf-8"))


def list_pieces(costs: Costs) -> list[dict[str, Any]]:
    """Return the cost of each piece, dearest first; `us` is None where it is unknown."""
    rest = compute_difference(costs, apps.ALL, apps.BARE)
    rows = []
    for piece in costs:
        if piece in (apps.ALL, apps.BARE):
            continue
        cost = compute_difference(costs, *apps.choose_variants(piece))
        rows.append(build_row(piece, cost))
        if piece != apps.SAMPLED:
            rest = measure.subtract(rest, cost)
    if not rows:
        return []
    rows.sort(key=itemgetter("us"), reverse=True)
    rows.append(build_row("rest", rest))
    unknown = [build_row(piece, None) for piece in TEXTS if piece not in (*costs, "rest")]
    return rows + unknown


def build_row(piece: str, estimate: Estimate | None) -> dict[str, Any]:
    """Return the row of one piece, with its name and purpose from pieces.yaml.

    Costs are in microseconds per request.
    """
    name, purpose = TEXTS.get(piece, (piece, ""))
    row = {"piece": name, "us": None, "margin_us": None, "buys": purpose}
    if estimate:
        row["us"] = to_micros(estimate.value)
        row["margin_us"] = to_micros(estimate.margin)
    return row
