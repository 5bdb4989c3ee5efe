# SPDX-License-Identifier: Apache-2.0
"""The page of a suite's history: a line for each cell, with marks where its level changed."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup, escape

from orchestrator.analysis.history import Trend
from orchestrator.report import formats, html
from orchestrator.report.axis import Axis, axis

WIDTH, HEIGHT = 420, 130
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 14, 20
# Around a level that never changes, so that it is a line in the middle and not on the edge.
_FLAT = 0.02

type Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One mark in words. verdict: faster, slower, or changed where neither way is better."""

    commit: str
    subject: str
    when: str
    before: str
    after: str
    ratio: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """unit: of the value axis."""

    trend: Trend
    svg: Markup
    unit: str
    last: str
    changes: tuple[Change, ...]


def page(suite: str, trends: Sequence[Trend]) -> str:
    """The HTML text."""
    drawn = [_drawn(trend) for trend in trends]
    groups = [(key, list(of)) for key, of in groupby(drawn, key=lambda one: one.trend.key.group)]
    nights = sorted({night.started for trend in trends for night in trend.nights})
    return (
        html.environment()
        .get_template("trend.html.j2")
        .render(
            suite=suite,
            groups=groups,
            nights=nights,
            changed=sum(1 for one in drawn if one.changes),
            cells=len(drawn),
        )
    )


def _drawn(trend: Trend) -> Drawn:
    low, high = _range(trend)
    values = axis(low, high, trend.unit)
    return Drawn(
        trend=trend,
        svg=_svg(trend, low, high, values),
        unit=values.unit,
        last=formats.quantity(trend.values[-1], trend.unit),
        changes=tuple(_changes(trend)),
    )


def _changes(trend: Trend) -> Iterator[Change]:
    levels = _levels(trend)
    for place, before, after in zip(trend.changes, levels, levels[1:], strict=False):
        night = trend.nights[place]
        better = (after > before) == (trend.direction == "higher")
        verdict = "changed" if trend.direction == "none" else "faster" if better else "slower"
        yield Change(
            commit=(night.commit[:10] or "no commit") + (" with changes" if night.dirty else ""),
            subject=night.subject,
            when=night.started,
            before=formats.quantity(before, trend.unit),
            after=formats.quantity(after, trend.unit),
            ratio=formats.ratio(after / before) if before else formats.NOTHING,
            verdict=verdict,
        )


def _levels(trend: Trend) -> list[float]:
    """The median of each stretch between changes."""
    bounds = [0, *trend.changes, len(trend.values)]
    return [statistics.median(trend.values[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]


def _range(trend: Trend) -> tuple[float, float]:
    """What is drawn: the values, and some room around them."""
    low, high = min(trend.values), max(trend.values)
    room = max((high - low) * 0.08, abs(high) * _FLAT, 1e-12)
    return low - room, high + room


def _svg(trend: Trend, low: float, high: float, values: Axis) -> Markup:
    last = max(len(trend.values) - 1, 1)

    def x(place: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * place / last

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [_values(values, y), _marks(trend, x), _stretches(trend, x, y), _dots(trend, x, y)]
    base = HEIGHT - 6
    parts.append(
        f'<text class="axis" x="{LEFT}" y="{base}">{escape(trend.nights[0].started[:10])}</text>'
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{base}" text-anchor="end">'
        f"{escape(trend.nights[-1].started[:10])}</text>"
    )
    label = escape(f"{trend.key.full_name} over {len(trend.values)} nights")
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
    return Markup(f"{head}{''.join(parts)}</svg>")


def _values(values: Axis, y: Scale) -> str:
    """The value axis: a line across for each of its texts."""
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{y(at) + 3.5:.1f}" text-anchor="end">{text}</text>'
        for at, text in values.ticks
    )


def _marks(trend: Trend, x: Scale) -> str:
    """A vertical line between the last night of a level and the first of the next."""
    marks = []
    for place in trend.changes:
        at, name = x(place - 0.5), escape(trend.nights[place].commit[:7])
        side = "end" if at > WIDTH * 0.85 else "start"
        marks.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="commit" x="{at:.1f}" y="10" text-anchor="{side}">{name}</text>'
        )
    return "".join(marks)


def _stretches(trend: Trend, x: Scale, y: Scale) -> str:
    bounds = [0, *trend.changes, len(trend.values)]
    return "".join(
        f'<line class="level" x1="{x(max(a - 0.5, 0)):.1f}" '
        f'x2="{x(min(b - 0.5, len(trend.values) - 1)):.1f}" '
        f'y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        for a, b, value in zip(bounds, bounds[1:], _levels(trend), strict=False)
    )


def _dots(trend: Trend, x: Scale, y: Scale) -> str:
    dots = []
    for place, (night, value) in enumerate(zip(trend.nights, trend.values, strict=True)):
        told = f"{formats.quantity(value, trend.unit)}\n{night.commit[:10]} {night.subject}"
        dots.append(
            f'<circle cx="{x(place):.1f}" cy="{y(value):.1f}" r="2.4">'
            f"<title>{escape(told)}\n{escape(night.started)}</title></circle>"
        )
    return "".join(dots)
