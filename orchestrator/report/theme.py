# SPDX-License-Identifier: Apache-2.0
"""How figures look: one palette, one set of markers, one size.

The colours are those of M. Okabe and K. Ito (Color Universal Design, 2008), which people with any
of the common colour deficiencies can tell apart. Each variant also has its own marker and
dash pattern, so that nothing rests on colour alone, in print least of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

INK = "#1f2328"
MUTED = "#59636e"
GRID = "#dfe3e8"
FONT = "DejaVu Sans"  # comes with matplotlib: the same layout on every host

WIDTH_IN, HEIGHT_IN = 4.2, 3.0

# Colour in figures on light ground, and its replacement on dark ground.
SERIES_COLOURS = (
    ("#0072b2", "#58aee8"),
    ("#d55e00", "#ff8f4a"),
    ("#009e73", "#3dcaa2"),
    ("#cc79a7", "#e29cc4"),
    ("#e69f00", "#f0b83a"),
    ("#56b4e9", "#8fd0f5"),
    ("#000000", "#e6e6e6"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
type Dash = Literal["-"] | tuple[float, tuple[float, ...]]

_DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)))

RC: Mapping[Any, Any] = {
    "font.family": FONT,
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.0,
    "svg.fonttype": "none",  # text stays text: it can be searched, and scales with the page
    "pdf.fonttype": 42,
    "savefig.facecolor": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    colour: str
    marker: str
    dash: Dash


def style(index: int) -> Style:
    """The style of a series by the number of its colour."""
    return Style(
        colour=SERIES_COLOURS[index % len(SERIES_COLOURS)][0],
        marker=_MARKERS[index % len(_MARKERS)],
        dash=_DASHES[index % len(_DASHES)],
    )
