# SPDX-License-Identifier: Apache-2.0
"""Tables drawn: each function takes points or histograms and returns a matplotlib Figure.

Medians are joined by lines, bands are bootstrap intervals, small dots are single repetitions.
Voided repetitions are crosses in hollow circles: seen, but joined to nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from orchestrator.analysis import Histogram, Point
from orchestrator.report import theme
from orchestrator.report.theme import GRID, INK, MUTED, Style

LEFT, BOTTOM, RIGHT = 0.165, 0.155, 0.975

type Curves = Mapping[str, Sequence[Point]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A reference: a horizontal line (xs is None) or a curve; ys in the unit of the metric."""

    label: str
    ys: Sequence[float]
    xs: Sequence[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The horizontal axis: what the points' `offered_rps` stands for.

    ticks: places with their texts, when values are not read off a scale.
    """

    label: str
    ticks: Sequence[tuple[float, str]] = ()


LOAD = Axis(label="offered load (requests/s)")


def latency(
    curves: Curves,
    styles: Mapping[str, Style],
    quantile: str,
    rules: Sequence[Rule] = (),
    axis: Axis = LOAD,
) -> Figure:
    """A latency percentile (us) over load. quantile: as people say it, such as p99.9."""
    factor, unit = _time_unit(curves)
    figure, axes = _axes()
    for name, points in curves.items():
        _curve(axes, points, styles[name], factor)
    for rule in rules:
        _rule(axes, rule, factor)
    axes.set_yscale("log")
    _log_ticks(axes)
    _load_axis(axes, curves, axis)
    axes.set_ylabel(f"{quantile} latency ({unit})")
    _finish(figure, axes, curves, styles, rules)
    return figure


def throughput(curves: Curves, styles: Mapping[str, Style], axis: Axis) -> Figure:
    """Achieved load over something else than offered load."""
    figure, axes = _axes()
    for name, points in curves.items():
        _curve(axes, points, styles[name], 1.0)
    axes.set_ylim(bottom=0)
    _load_axis(axes, curves, axis)
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_ylabel("achieved load (requests/s)")
    _finish(figure, axes, curves, styles, ())
    return figure


def achieved(curves: Curves, styles: Mapping[str, Style]) -> Figure:
    """Achieved over offered load, with the diagonal on which nothing is lost."""
    figure, axes = _axes()
    for name, points in curves.items():
        _curve(axes, points, styles[name], 1.0)
    highest = max((point.offered_rps for points in curves.values() for point in points), default=1)
    axes.plot([0, highest], [0, highest], color=MUTED, linewidth=1.0, dashes=(2, 2), zorder=1)
    axes.set_ylim(bottom=0)
    _load_axis(axes, curves, LOAD)
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_ylabel("achieved load (requests/s)")
    _finish(figure, axes, curves, styles, [Rule(label="achieved = offered", ys=())])
    return figure


def ccdf(histograms: Mapping[str, Histogram], styles: Mapping[str, Style]) -> Figure:
    """Share of requests that took longer than x, both axes logarithmic."""
    figure, axes = _axes()
    factor, unit = _histogram_unit(histograms)
    for name, histogram in histograms.items():
        values, above = histogram.share_above()
        seen = above > 0
        style = styles[name]
        axes.plot(
            values[seen] / 1e3 / factor,
            above[seen],
            color=style.colour,
            linestyle=style.dash,
            drawstyle="steps-post",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=1.0)
    _log_ticks(axes, which="x")
    axes.yaxis.set_major_locator(LogLocator(base=10))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set_xlabel(f"latency ({unit})")
    axes.set_ylabel("share of requests above")
    _finish(figure, axes, histograms, styles, (), markers=False)
    return figure


def percentiles(histograms: Mapping[str, Histogram], styles: Mapping[str, Style]) -> Figure:
    """Latency over percentile; the axis spreads the tail as HdrHistogram's plots do."""
    figure, axes = _axes()
    factor, unit = _histogram_unit(histograms)
    largest = max((histogram.count for histogram in histograms.values()), default=10)
    for name, histogram in histograms.items():
        nines = np.linspace(0.0, math.log10(max(histogram.count, 2)), 160)
        values = histogram.quantiles(np.clip(1.0 - 10.0**-nines, 1e-9, 1.0))
        style = styles[name]
        axes.plot(10.0**nines, values / 1e3 / factor, color=style.colour, linestyle=style.dash)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _log_ticks(axes)
    decades = [10.0**power for power in range(0, math.ceil(math.log10(max(largest, 10))) + 1)]
    ticks = [1.0, 2.0, *(tick for tick in decades[1:] if tick <= largest)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_percentile))
    axes.set_xlim(1.0, largest)
    axes.set_xlabel("percentile (%)")
    axes.set_ylabel(f"latency ({unit})")
    _finish(figure, axes, histograms, styles, (), markers=False)
    return figure


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(theme.WIDTH_IN, theme.HEIGHT_IN))
    return figure, figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, 0.7))


def _curve(axes: Axes, points: Sequence[Point], style: Style, factor: float) -> None:
    known = [(point.offered_rps, point.estimate) for point in points if point.estimate]
    xs = [x for x, _ in known]
    axes.plot(
        xs,
        [estimate.value / factor for _, estimate in known],
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        markeredgecolor="none",
        zorder=3,
    )
    band = [(x, e.low / factor, e.high / factor) for x, e in known if e.has_interval]
    if band:
        bx, low, high = zip(*band, strict=True)
        axes.fill_between(bx, low, high, color=style.colour, alpha=0.16, linewidth=0, zorder=2)
    single = [
        (p.offered_rps, s.value / factor) for p in points for s in p.valid if len(p.valid) > 1
    ]
    if single:
        axes.plot(
            *zip(*single, strict=True),
            linestyle="none",
            marker="o",
            markersize=2.6,
            markeredgecolor="none",
            color=style.colour,
            alpha=0.6,
            zorder=2,
        )
    _void(axes, points, style, factor)


def _void(axes: Axes, points: Sequence[Point], style: Style, factor: float) -> None:
    void = [(p.offered_rps, s.value / factor) for p in points for s in p.invalid]
    for hollow, size in (("o", 7.0), ("x", 4.0)):
        look: dict[str, Any] = {
            "linestyle": "none",
            "marker": hollow,
            "markersize": size,
            "markerfacecolor": "none",
            "markeredgecolor": style.colour,
            "markeredgewidth": 1.0,
            "zorder": 4,
        }
        seen = [(x, y) for x, y in void if not math.isnan(y)]
        if seen:
            axes.plot(*zip(*seen, strict=True), **look)
        # Without a value there is no height: such a trial stands on the axis.
        unseen = [x for x, y in void if math.isnan(y)]
        if unseen:
            axes.plot(
                unseen,
                [0.0] * len(unseen),
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                **look,
            )


def _rule(axes: Axes, rule: Rule, factor: float) -> None:
    if rule.xs is None:
        axes.axhline(rule.ys[0] / factor, color=INK, linewidth=1.0, dashes=(5, 3), zorder=1)
        return
    axes.plot(rule.xs, [y / factor for y in rule.ys], color=INK, linewidth=1.2, zorder=1)


def _finish(
    figure: Figure,
    axes: Axes,
    names: Mapping[str, object],
    styles: Mapping[str, Style],
    rules: Sequence[Rule],
    *,
    markers: bool = True,
) -> None:
    """The legend above the axes, where it can cover nothing, and room for it."""
    handles = [
        Line2D(
            [],
            [],
            color=styles[name].colour,
            linestyle=styles[name].dash,
            marker=styles[name].marker if markers else None,
            markeredgecolor="none",
            label=name,
        )
        for name in names
    ]
    for rule in rules:
        handle = Line2D([], [], color=INK, linewidth=1.1, label=rule.label)
        if rule.xs is None:
            handle.set_dashes((5, 3) if rule.ys else (2, 2))
        handles.append(handle)
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = 1 if longest > 23 else min(2, len(handles))
    rows = math.ceil(len(handles) / columns)
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        handlelength=2.4,
        columnspacing=1.4,
        labelspacing=0.35,
    )
    top = 1.0 - (0.055 + 0.064 * rows)
    axes.set_position((LEFT, BOTTOM, RIGHT - LEFT, top - BOTTOM))
    axes.tick_params(length=3, width=0.8)
    # Ligatures live outside the range of a PDF's first font subset: each would cost a second one.
    for text in (axes.xaxis.label, axes.yaxis.label, *legend.get_texts()):
        text.set_fontfeatures(["-liga"])


def _time_unit(curves: Curves) -> tuple[float, str]:
    medians = [p.estimate.value for points in curves.values() for p in points if p.estimate]
    return _unit_of(max(medians, default=1.0))


def _histogram_unit(histograms: Mapping[str, Histogram]) -> tuple[float, str]:
    return _unit_of(max((one.maximum / 1e3 for one in histograms.values()), default=1.0))


def _unit_of(largest_us: float) -> tuple[float, str]:
    return (1e3, "ms") if largest_us >= 2e3 else (1.0, "µs")


def _load_axis(axes: Axes, curves: Curves, axis: Axis) -> None:
    axes.set_xlabel(axis.label)
    axes.grid(False, axis="x")
    if axis.ticks:
        axes.set_xticks([place for place, _ in axis.ticks], [text for _, text in axis.ticks])
        axes.margins(x=0.06)
        return
    highest = max((point.offered_rps for points in curves.values() for point in points), default=1)
    axes.set_xlim(0, highest * 1.04)
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))


def _log_ticks(axes: Axes, which: str = "y") -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.grid(True, axis="both", color=GRID)


# Ticks of a decade, for axes that span at most so many decades.
_STEPS = (
    (0.9, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)),
    (3.0, (1.0, 2.0, 5.0)),
    (math.inf, (1.0,)),
)
_NARROW_DECADES = 0.4


def log_ticks(low: float, high: float) -> list[float]:
    """Round places on a logarithmic axis from low to high (both above 0): as many as it needs."""
    decades = math.log10(high / low)
    if decades < _NARROW_DECADES:
        return [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    steps = next(steps for span, steps in _STEPS if decades <= span)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _thousands(value: float, _: object) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def _percent(value: float, _: object) -> str:
    return f"{value * 100:g} %"


def _percentile(value: float, _: object) -> str:
    return f"{100.0 - 100.0 / value:.6g}"
