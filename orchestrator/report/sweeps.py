# SPDX-License-Identifier: Apache-2.0
"""Closed loops have no offered load: their curves run over the axis that the matrix varies.

Panels of one application and clock that differ only in one axis of the workload (connections,
message size, …) make one sweep.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.analysis import Panel, Point, Results
from orchestrator.analysis.raw import Trial
from orchestrator.report.figures import Axis
from orchestrator.spec.units import split_quantity

type Others = tuple[tuple[str, str], ...]
type Table = tuple[tuple[str, ...], list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Panels in the order of the axis. values: of the axis, as the experiment writes them."""

    panels: tuple[Panel, ...]
    values: tuple[str, ...]
    slug: str
    title: str
    headline: str

    @property
    def axis(self) -> Axis:
        """Values stand at equal distances: they are chosen for their steps, not their scale."""
        ticks = [(float(place), value) for place, value in enumerate(self.values)]
        return Axis(label=self.title, ticks=ticks)

    def curves(
        self, results: Results, metric: str, name_of: Callable[[Results, str], str]
    ) -> dict[str, list[Point]]:
        """The points of a metric by variant; their `offered_rps` is the place on the axis."""
        found: dict[str, list[Point]] = {}
        for place, panel in enumerate(self.panels):
            for series in results.points.of_panel(panel):
                for point in results.points.curve(series, metric):
                    placed = dataclasses.replace(point, offered_rps=float(place))
                    found.setdefault(name_of(results, series.variant), []).append(placed)
        return found

    def rows(self, table: Table) -> Table:
        """The data of a figure, with the axis' values in place of the places."""
        header, rows = table
        place = header.index("offered_rps")
        name = re.sub(r"[^a-z0-9]+", "_", self.title.lower())
        changed = [
            (*row[:place], self.values[int(str(row[place]).partition(".")[0])], *row[place + 1 :])
            for row in rows
        ]
        return (*header[:place], name, *header[place + 1 :]), changed


def find(results: Results, panels: Sequence[Panel]) -> list[Sweep]:
    """The sweeps among the panels; a panel belongs to one at most."""
    trials: dict[Panel, Trial] = {}
    for record in results.records:
        trial = record.trial
        panel = Panel(app=trial.app, workload=trial.workload_label, clock=trial.clock)
        if panel in panels and trial.kind == "measure" and math.isnan(trial.offered_rps):
            trials.setdefault(panel, trial)
    families: dict[tuple[str, str, str, Others], list[Panel]] = {}
    for panel, trial in trials.items():
        axis = _axis(trials, panel)
        if axis:
            others = tuple(item for item in _workload_axes(trial).items() if item[0] != axis)
            families.setdefault((panel.app, panel.clock, axis, others), []).append(panel)
    slugs: dict[str, int] = {}
    found = []
    for (app, _, axis, _), members in families.items():
        if len(members) > 1:
            base = re.sub(r"[^a-z0-9]+", "-", f"{app}-{_leaf(axis)}".lower()).strip("-")
            slugs[base] = slugs.get(base, 0) + 1
            slug = base if slugs[base] == 1 else f"{base}-{slugs[base]}"
            found.append(_sweep(trials, members, axis, slug))
    return found


def _axis(trials: dict[Panel, Trial], panel: Panel) -> str:
    """The first axis of the workload that has several values in this application's panels."""
    same = [t for p, t in trials.items() if (p.app, p.clock) == (panel.app, panel.clock)]
    for key in _workload_axes(trials[panel]):
        if len({trial.axes.get(key) for trial in same}) > 1:
            return key
    return ""


def _workload_axes(trial: Trial) -> dict[str, str]:
    return {key: value for key, value in trial.axes.items() if key.startswith("workload.")}


def _sweep(trials: dict[Panel, Trial], members: list[Panel], axis: str, slug: str) -> Sweep:
    # The order of the matrix is that of the plan's indices only within a repetition and a
    # variant, and ABBA reverses it: sort by size where values are numbers.
    ordered = sorted(members, key=lambda panel: _size(trials[panel].axes[axis]))
    first = trials[ordered[0]]
    title = _leaf(axis).replace("_", " ")
    others = [f"{_leaf(k)} {v}" for k, v in _workload_axes(first).items() if k != axis]
    loop = f"{first.workload.protocol}, {first.workload.mode} loop over {title}"
    return Sweep(
        panels=tuple(ordered),
        values=tuple(trials[panel].axes[axis] for panel in ordered),
        slug=slug,
        title=title,
        headline=", ".join([loop, *others]),
    )


def _leaf(axis: str) -> str:
    return axis.rpartition(".")[2]


def _size(value: str) -> tuple[float, str]:
    """Sorts 64B < 1KiB < 16KiB and 1 < 4 < 16; other texts by themselves, last."""
    found = split_quantity(value)
    if found is not None:
        return float(found[1]), value
    try:
        return float(value), value
    except ValueError:
        return math.inf, value
