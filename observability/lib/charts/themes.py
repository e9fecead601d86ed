"""The colours of a chart on a light and on a dark page."""

from dataclasses import dataclass, field

from observability.lib.panels import BAD, BLUE, GOOD, GREY, PALETTE, PINK, SKY, WARN, YELLOW


@dataclass(frozen=True)
class Theme:
    """The colours of one background."""

    text: str
    grid: str
    palette: tuple[str, ...]  # of series, the most visible first
    heatmap: tuple[str, ...]  # from few to many
    substitutes: dict[str, str] = field(default_factory=dict)  # of colours that are not visible


LIGHT = Theme(
    text="#3d444d",
    grid="#e4e7eb",
    palette=(*PALETTE[:-1], GREY),
    heatmap=("#d6ebf8", SKY, BLUE, "#00263d"),
    substitutes={YELLOW: GREY},
)
DARK = Theme(
    text="#c9d1d9",
    grid="#30363d",
    palette=(SKY, WARN, GOOD, PINK, YELLOW, BAD, BLUE),
    heatmap=("#10364f", BLUE, SKY, YELLOW),
)
