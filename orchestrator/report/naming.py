# SPDX-License-Identifier: Apache-2.0
"""What the rows of a run's tables are called, in which order they stand, and their colours.

A name tells what differs between the rows; what all rows share is said once, above the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis import Results, Series, Summary
from orchestrator.analysis.summary import belongs
from orchestrator.report import sweeps, theme
from orchestrator.spec.units import natural_key

VARIANT, WORKLOAD = "variant", "workload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant under a workload. labels: what tells it from the others, its variant first."""

    summary: Summary
    labels: Mapping[str, str]
    name: str
    note: str
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All rows by variant, in the order of the experiment's file, and by what was varied.

    title: what the names are; constants: what all rows have in common; coloured: whether colours
    tell rows apart.
    """

    rows: Sequence[Row]
    title: str
    constants: str
    coloured: bool


def name_rows(results: Results) -> Rows:
    """The rows of a run's tables."""
    pairs = _labelled(results)
    one_variant = len({labels[VARIANT] for labels, _ in pairs}) == 1
    kinds = {_kind(summary.series) for _, summary in pairs}
    shades = colours(results)
    rows = [
        Row(
            summary=summary,
            labels=labels,
            name=_name(labels, short=one_variant),
            note=_kind(summary.series) if len(kinds) > 1 else "",
            colour=shades[summary.series],
        )
        for labels, summary in pairs
    ]
    same = [labels[VARIANT] for labels, _ in pairs[:1] if one_variant and len(labels) > 1]
    return Rows(
        rows=rows,
        title="Workload" if same else "Variant",
        constants=", ".join([*same, *(kinds if len(kinds) == 1 else ()), *_common(pairs)]),
        coloured=len({row.colour for row in rows}) > 1,
    )


def colours(results: Results) -> dict[Series, int]:
    """A colour for each series: that of its variant, which so keeps it in all figures. Where the
    workloads of one variant are curves of their own, each has its own."""
    series = results.points.series
    by_variant = len({one.variant for one in series}) > 1
    swept = {panel for one in sweeps.find(results, results.points.panels) for panel in one.panels}
    keys = [
        one.variant if by_variant or one.panel in swept else f"{one.variant}, {one.workload}"
        for one in series
    ]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return {
        one: places[key] % len(theme.SERIES_COLOURS) for one, key in zip(series, keys, strict=True)
    }


def _kind(series: Series) -> str:
    return f"{series.app} on {series.stack}"


def _name(labels: Mapping[str, str], *, short: bool) -> str:
    """`depth 8`; with the variant before it unless all rows have the same."""
    own = [
        value if key == WORKLOAD else f"{key.replace('_', ' ')} {value}"
        for key, value in labels.items()
        if key != VARIANT and value
    ]
    return ", ".join(own) if short and own else ", ".join([labels[VARIANT], *own])


def _common(pairs: Sequence[tuple[Mapping[str, str], Summary]]) -> list[str]:
    """The parts that the workloads of all rows share."""
    parts = [summary.series.workload.split(", ") for _, summary in pairs]
    return [one for one in parts[0] if all(one in others for others in parts)] if parts else []


def _labelled(results: Results) -> list[tuple[Mapping[str, str], Summary]]:
    """Each summary with its variant, and the values of those keys of the matrix that differ."""
    found = [(_axes(results, summary), summary) for summary in results.summaries]
    keys = dict.fromkeys(key for axes, _ in found for key in axes)
    varying = [key for key in keys if len({axes.get(key) for axes, _ in found}) > 1]
    order = list(dict.fromkeys(axes[VARIANT] for axes, _ in found))
    labels = [
        {
            VARIANT: axes[VARIANT],
            **{key.rpartition(".")[2]: axes.get(key, "") for key in varying if key != VARIANT},
        }
        for axes, _ in found
    ]
    if len({tuple(one.items()) for one in labels}) < len(labels):
        # Values under one name: then only the whole workload tells.
        labels = [{VARIANT: s.series.variant, WORKLOAD: s.series.workload} for _, s in found]
        order = list(dict.fromkeys(one[VARIANT] for one in labels))
    pairs = list(zip(labels, (summary for _, summary in found), strict=True))
    return sorted(
        pairs,
        key=lambda pair: (
            order.index(pair[0][VARIANT]),
            [natural_key(value) for key, value in pair[0].items() if key != VARIANT],
        ),
    )


def _axes(results: Results, summary: Summary) -> dict[str, str]:
    """The variant and the values of the matrix that all trials of a series have in common."""
    trial = next(record.trial for record in results.records if belongs(record, summary.series))
    axes = {key: value for key, value in trial.axes.items() if key not in ("load", VARIANT)}
    # A second generator's name stands for its variant.
    plain = trial.variant if summary.series.variant.startswith(trial.variant) else ""
    return {VARIANT: plain or summary.series.variant, **axes}
