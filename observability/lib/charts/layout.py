"""The places of plot and legend in a picture, in pixels."""

from dataclasses import dataclass

PLOT_HEIGHT = 176
LEFT = 58
RIGHT = 20
TOP = 8
BOTTOM = 24  # the labels of the time axis


@dataclass(frozen=True)
class Layout:
    """A picture with the plot above the legend."""

    width: int
    legend_height: int

    @property
    def height(self) -> int:
        """Return the height of the picture."""
        return TOP + PLOT_HEIGHT + BOTTOM + self.legend_height

    @property
    def plot(self) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of the plot as shares of the picture."""
        return (
            LEFT / self.width,
            (self.height - TOP - PLOT_HEIGHT) / self.height,
            (self.width - LEFT - RIGHT) / self.width,
            PLOT_HEIGHT / self.height,
        )
