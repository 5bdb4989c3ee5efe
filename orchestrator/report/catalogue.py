# SPDX-License-Identifier: Apache-2.0
"""Which figures a run has: their names, captions, data, and how each is drawn.

Curves share a figure only when application, protocol, workload and clock are the same: a panel.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from orchestrator.analysis import Histogram, Panel, Point, Results, Series, queueing
from orchestrator.analysis.raw import Record
from orchestrator.analysis.saturation import Saturation
from orchestrator.report import figures, naming, sweeps, theme
from orchestrator.report.figures import Rule
from orchestrator.report.formats import rate, time_us
from orchestrator.report.sweeps import Sweep, Table
from orchestrator.report.theme import Style

QUANTILES = {"p50": ("p50", 0.5), "p99": ("p99", 0.99), "p999": ("p99.9", 0.999)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure. name: of its files and of `ringbed report --figure`; data: what it shows."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]
    data: Callable[[], Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The charts of one panel, or of several that differ in one axis of the matrix."""

    panel: Panel
    title: str
    charts: tuple[Chart, ...]


def groups(results: Results) -> list[Group]:
    """All figures of a run: closed loops over what was varied, and each panel by itself."""
    shades = naming.colours(results)
    measured = [
        panel
        for panel in results.points.panels
        if any(results.points.curve(one, "achieved_rps") for one in results.points.of_panel(panel))
    ]
    swept = sweeps.find(results, measured)
    inside = {panel for sweep in swept for panel in sweep.panels}
    alone = _slugs([panel for panel in measured if panel not in inside])
    return [
        *(_sweep(results, sweep, _styles(results, sweep.panels, shades)) for sweep in swept),
        *(
            _group(results, panel, slug, _styles(results, [panel], shades))
            for panel, slug in alone.items()
        ),
    ]


def _styles(
    results: Results, panels: Sequence[Panel], shades: Mapping[Series, int]
) -> dict[str, Style]:
    """How the curves of these panels look, by their names."""
    return {
        name_of(results, series.variant): theme.style(shades[series])
        for panel in panels
        for series in results.points.of_panel(panel)
    }


def name_of(results: Results, variant: str) -> str:
    """A variant's name in figures."""
    return results.titles.get(variant, variant)


def _sweep(results: Results, sweep: Sweep, styles: Mapping[str, Style]) -> Group:
    """A closed loop, over the axis of the matrix that was varied.

    A latency without a single value, because all trials failed, has no figure.
    """
    axis = sweep.axis
    caption = "Closed loop: median of the repetitions, bootstrap band, single repetitions as dots."
    loads = sweep.curves(results, "achieved_rps", name_of)
    charts = [
        Chart(
            name=f"{sweep.slug}-achieved",
            title=f"Throughput over {sweep.title}",
            caption=caption,
            draw=lambda: figures.throughput(loads, styles, axis),
            data=lambda: sweep.rows(_point_rows(loads)),
        )
    ]
    for key, (spoken, _) in QUANTILES.items():
        curves = sweep.curves(results, f"latency_{key}", name_of)
        if curves:
            charts.append(_sweep_latency(sweep, key, spoken, curves, styles, caption))
    return Group(panel=sweep.panels[0], title=sweep.headline, charts=tuple(charts))


def _sweep_latency(
    sweep: Sweep,
    key: str,
    spoken: str,
    curves: dict[str, list[Point]],
    styles: Mapping[str, Style],
    caption: str,
) -> Chart:
    return Chart(
        name=f"{sweep.slug}-latency-{key}",
        title=f"{spoken} latency over {sweep.title}",
        caption=caption,
        draw=lambda: figures.latency(curves, styles, spoken, axis=sweep.axis),
        data=lambda: sweep.rows(_point_rows(curves)),
    )


def _slugs(panels: Sequence[Panel]) -> dict[Panel, str]:
    """A short name for each panel: the application, numbered where it has several."""
    slugs = {}
    for panel in panels:
        same = [one for one in panels if one.app == panel.app]
        base = re.sub(r"[^a-z0-9]+", "-", panel.app.lower()).strip("-") or "app"
        slugs[panel] = base if len(same) == 1 else f"{base}-{same.index(panel) + 1}"
    return slugs


def _group(results: Results, panel: Panel, slug: str, styles: Mapping[str, Style]) -> Group:
    charts: list[Chart] = []
    series = results.points.of_panel(panel)
    if any(_open(point) for one in series for point in results.points.curve(one, "achieved_rps")):
        found = (_latency(results, panel, slug, styles, key) for key in QUANTILES)
        charts += [chart for chart in found if chart is not None]
        charts.append(_achieved(results, panel, slug, styles))
    charts += _distributions(results, panel, slug, styles)
    return Group(panel=panel, title=panel.workload, charts=tuple(charts))


def _open(point: Point) -> bool:
    return not math.isnan(point.offered_rps)


def _curves(results: Results, panel: Panel, metric: str) -> dict[str, list[Point]]:
    found = {
        name_of(results, series.variant): [
            p for p in results.points.curve(series, metric) if _open(p)
        ]
        for series in results.points.of_panel(panel)
    }
    return {name: points for name, points in found.items() if points}


def _latency(
    results: Results, panel: Panel, slug: str, styles: Mapping[str, Style], key: str
) -> Chart | None:
    """The figure of a percentile; None when no trial left anything that could stand in it."""
    metric, (spoken, q) = f"latency_{key}", QUANTILES[key]
    curves = _with_void(results, panel, metric)
    if not curves:
        return None
    rules: list[Rule] = []
    notes = ["Median of the repetitions, bootstrap band, single repetitions as dots."]
    objective = results.objective
    if objective is not None and objective.metric == metric:
        limit = objective.limit_ns / 1e3
        rules.append(Rule(label=f"objective: {time_us(limit, 1)}", ys=(limit,)))
    line = _reference(results, panel)
    if line is not None:
        label, reference = line
        highest = max(p.offered_rps for points in curves.values() for p in points)
        shown = reference.rps <= highest * 1.04
        # Loads far below saturation end before the line begins: then there is nothing to show.
        if shown.any():
            ys = tuple((reference.quantiles[q][shown] / 1e3).tolist())
            rules.append(Rule(label=label, xs=tuple(reference.rps[shown].tolist()), ys=ys))
            notes.append(f"{label} is the ideal server without overhead: no stack can be below.")
    if any(point.invalid for points in curves.values() for point in points):
        notes.append(
            "Crossed circles do not count: the trial is void, or has too few requests for this "
            "percentile. They lie on the axis when there is no value."
        )
    return Chart(
        name=f"{slug}-latency-{key}",
        title=f"{spoken} latency over offered load",
        caption=" ".join(notes),
        draw=lambda: figures.latency(curves, styles, spoken, rules),
        data=lambda: _point_rows(curves),
    )


def _with_void(results: Results, panel: Panel, metric: str) -> dict[str, list[Point]]:
    """The curves of a metric; trials that left no value at all only have a row of achieved_rps,
    and are shown in every figure all the same."""
    curves = _curves(results, panel, metric)
    for name, loads in _curves(results, panel, "achieved_rps").items():
        known = {p.offered_rps: i for i, p in enumerate(curves.get(name, []))}
        for point in loads:
            lost = tuple(sample for sample in point.invalid if math.isnan(sample.value))
            if not lost:
                continue
            own = curves.setdefault(name, [])
            index = known.get(point.offered_rps)
            if index is None:
                own.append(_merge(point, point, metric, lost))
            else:
                own[index] = _merge(own[index], point, metric, lost)
        if name in curves:
            curves[name].sort(key=lambda point: point.offered_rps)
    return curves


def _merge(point: Point, loads: Point, metric: str, lost: tuple[object, ...]) -> Point:
    same = point.metric == metric
    return Point(
        series=point.series,
        offered_rps=point.offered_rps,
        metric=metric,
        unit=point.unit if same else "us",
        direction="lower",
        estimate=point.estimate if same else None,
        valid=point.valid if same else (),
        invalid=(*(point.invalid if same else ()), *(s for s in loads.invalid if s in lost)),
    )


def _achieved(results: Results, panel: Panel, slug: str, styles: Mapping[str, Style]) -> Chart:
    curves = _curves(results, panel, "achieved_rps")
    return Chart(
        name=f"{slug}-achieved",
        title="Achieved over offered load",
        caption="The dotted diagonal is what was asked for; random arrivals scatter around it. Far "
        "below it, requests are no longer answered in time.",
        draw=lambda: figures.achieved(curves, styles),
        data=lambda: _point_rows(curves),
    )


def _distributions(
    results: Results, panel: Panel, slug: str, styles: Mapping[str, Style]
) -> list[Chart]:
    load = common_load(results, panel)
    found = {
        name_of(results, series.variant): histogram
        for series in results.points.of_panel(panel)
        if (histogram := results.histogram(series, load)) is not None and histogram.count
    }
    if not found:
        return []
    where = "closed loop" if math.isnan(load) else f"{rate(load)} requests/s offered"
    error = max(one.relative_error for one in found.values())
    note = f"All valid repetitions merged, {where}; values within {error:.1%}."
    return [
        Chart(
            name=f"{slug}-ccdf",
            title="How many requests take longer",
            caption=note,
            draw=lambda: figures.ccdf(found, styles),
            data=lambda: _histogram_rows(found, load),
        ),
        Chart(
            name=f"{slug}-percentiles",
            title="Latency by percentile",
            caption=note,
            draw=lambda: figures.percentiles(found, styles),
            data=lambda: _histogram_rows(found, load),
        ),
    ]


def common_load(results: Results, panel: Panel) -> float:
    """The load at which distributions are compared: the highest at which every variant of the
    panel has a valid point and still answers all requests; else the lowest shared one."""
    per_series: list[dict[float, bool]] = []
    saturation = Saturation(results.records)
    for series in results.points.of_panel(panel):
        curve = results.points.curve(series, "achieved_rps")
        valid = {p.offered_rps: saturation.follows(p) for p in curve if p.estimate}
        if valid and all(not math.isnan(load) for load in valid):
            per_series.append(valid)
    if not per_series:
        return float("nan")
    shared = sorted(set.intersection(*(set(one) for one in per_series)))
    if not shared:
        return min(load for one in per_series for load in one)
    kept = [load for load in shared if all(one[load] for one in per_series)]
    return kept[-1] if kept else shared[0]


def _reference(results: Results, panel: Panel) -> tuple[str, queueing.Line] | None:
    """The M/G/n line of a service-time sweep; n is the number of the server's threads."""
    for record in results.records:
        work = record.trial.workload
        service = work.service_time
        if _panel_of(record) != panel or record.server is None or service is None:
            continue
        if not service.mean_ns or work.arrival != "poisson":
            continue
        if service.distribution not in queueing.DISTRIBUTIONS:
            continue
        servers = len(record.server.threads)
        line = queueing.reference(
            service.distribution,
            service.mean_ns,
            servers,
            tuple(q for _, q in QUANTILES.values()),
            sigma=service.sigma,
        )
        return f"ideal M/G/{servers}", line
    return None


def _panel_of(record: Record) -> Panel:
    trial = record.trial
    return Panel(app=trial.app, workload=trial.workload_label, clock=trial.clock)


def _point_rows(curves: Mapping[str, Sequence[Point]]) -> Table:
    header = ("variant", "offered_rps", "metric", "unit", "median", "low", "high", "repetition")
    rows: list[tuple[object, ...]] = []
    for name, points in curves.items():
        for point in points:
            middle = point.estimate
            numbers = (middle.value, middle.low, middle.high) if middle else ("", "", "")
            for sample in (*point.valid, *point.invalid):
                head = (name, point.offered_rps, point.metric, point.unit, *numbers)
                rows.append((*head, sample.repetition, sample.value, sample.reason))
    return (*header, "value", "void_reason"), rows


def _histogram_rows(found: Mapping[str, Histogram], load: float) -> Table:
    header = ("variant", "offered_rps", "latency_us", "count", "share_above")
    rows: list[tuple[object, ...]] = []
    for name, histogram in found.items():
        values, above = histogram.share_above()
        for value, count, share in zip(values, histogram.counts, above, strict=True):
            rows.append((name, load, float(value) / 1e3, int(count), float(share)))
    return header, rows
