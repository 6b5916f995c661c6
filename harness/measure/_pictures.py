"""What every picture of the report is made of: styles, axes and traces, as Plotly figures in plain data.

Colours of text and grid are the page's own. A trace's ``meta`` names its setting by its place in the
scenario, by which the page follows one setting through all pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, NamedTuple

from harness.measure._numbers import number

# Okabe and Ito's palette, which the colour-blind can tell apart; shapes and dashes say the same again. The
# lengths 6, 8 and 5 give 24 settings different pairs of colour and shape, and of colour and dash.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#3e9fd8")
_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
NEUTRAL: Final = "#808080"

_MOST_POINTS: Final = 300  # More than a screen can show; keeps a million jobs from swelling the file.
_POINTS_OF_ALL: Final = 2_000
_FEWEST_POINTS: Final = 50
_MARKERS: Final = 8  # along a line: what tells it from the others without colour

Trace = dict[str, Any]
Rows = list[list[str]]


class Style(NamedTuple):
    """How a setting is drawn in every chart."""

    colour: str
    symbol: str
    dash: str


@dataclass(frozen=True)
class Picture:
    """A figure with its words: what it shows, the same in a sentence, and the numbers in a table.

    ``id`` is its place in the page. ``variants`` are further sets of traces by their names, of which a reader
    chooses one; the figure holds the first.
    """

    id: str
    title: str
    note: str
    alt: str
    figure: dict[str, Any]
    headings: Sequence[str]
    rows: Rows
    variants: Mapping[str, Sequence[Trace]] | None = None

    def data(self) -> dict[str, Any]:
        """Return what the page draws."""
        more = {} if self.variants is None else {"variants": list(self.variants.values())}
        return self.figure | more


def styles_of(settings: Sequence[str]) -> dict[str, Style]:
    """Return a style per setting, by its place in the scenario."""
    return {
        name: Style(_COLOURS[i % len(_COLOURS)], _SYMBOLS[i % len(_SYMBOLS)], _DASHES[i % len(_DASHES)])
        for i, name in enumerate(settings)
    }


def places_of(settings: Sequence[str]) -> dict[str, int]:
    """Return the number by which the page knows each setting."""
    return {name: i for i, name in enumerate(settings)}


def points_of(settings: int) -> int:
    """Return how many points each setting's line may have, so that all together stay a small file."""
    return max(_FEWEST_POINTS, min(_MOST_POINTS, _POINTS_OF_ALL // max(settings, 1)))


def line(
    name: str, place: int, style: Style, x: Sequence[float], y: Sequence[float], hover: str, shape: str = "hv"
) -> Trace:
    """Return a setting's line, with a few markers on it; ``hover`` is what is said of a point."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(name),
        "meta": {"setting": place},
        "x": x,
        "y": y,
        "line": {"color": style.colour, "dash": style.dash, "width": 2, "shape": shape},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 8, "maxdisplayed": _MARKERS},
        "hovertemplate": f"<b>{escape(name)}</b><br>{hover}<extra></extra>",
    }


def axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    """Return an axis for these values: linear from zero, logarithmic where they span over a factor of ten."""
    positive = [value for value in values if value > 0]
    # Beyond a factor of ten a linear axis crowds the small ones together.
    if not positive or len(positive) < len(values) or max(positive) / min(positive) <= 10:
        return {"title": {"text": title}, "rangemode": "tozero"}
    return log_axis(title, min(positive) / 1.3, max(positive) * 1.3)


def log_axis(title: str, lowest: float, highest: float) -> dict[str, Any]:
    """Return a logarithmic axis between these values."""
    low, high = math.log10(lowest), math.log10(highest)
    # Plotly would label the twos and fives of a decade without their zeros.
    steps = (1, 2, 5) if high - low <= 3.5 else (1,)
    decades = range(math.floor(low), math.ceil(high))
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {
        "title": {"text": title},
        "type": "log",
        "range": [round(low, 4), round(high, 4)],
        "tickvals": ticks,
        "ticktext": [number(tick, 1) for tick in ticks],
    }


def by_setting(title: str, names: Sequence[str]) -> dict[str, Any]:
    """Return an axis with a row for each setting, the first at the top; the page shortens long names."""
    return {
        "title": {"text": title},
        "tickvals": list(range(len(names))),
        "ticktext": [escape(name) for name in names],
        "range": [len(names) - 0.4, -0.6],
        "zeroline": False,
        "showgrid": False,
    }


def height_of(rows: int) -> int:
    """Return the height in pixels of a picture with a row for each setting."""
    return 110 + 34 * rows


def mark(
    at: float, words: str, axis_of: dict[str, Any], level: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an upright line and its words, which stand above the plot: no curve runs through them.

    ``axis_of`` is the axis that it stands on: near its ends the words are beside the line, lest they be cut.
    """
    low, high = axis_of.get("range", (0.0, math.inf))
    # On a logarithmic axis annotations, but not shapes, count in decades.
    place = math.log10(at) if axis_of.get("type") == "log" else at
    third = math.floor(3 * (place - low) / (high - low)) if high < math.inf else 1
    shape = {
        "type": "line",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "layer": "below",
        "line": {"color": NEUTRAL, "width": 1.5, "dash": "dot"},
    }
    text = {
        "x": place,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "xanchor": ("left", "center", "right")[min(max(third, 0), 2)],
        "yshift": 2 + 15 * level,
        "showarrow": False,
        "text": escape(words),
    }
    return shape, text


def significant(values: Sequence[float], digits: int = 4) -> list[float]:
    """Return the values with as many digits as a picture shows."""
    return [float(f"{value:.{digits}g}") for value in values]
