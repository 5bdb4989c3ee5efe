# SPDX-License-Identifier: Apache-2.0
"""Call stacks as a flame graph: one SVG that needs nothing else.

Each frame is as wide as what it and its callees executed, callees hang below their callers (an
icicle), siblings stand in the order of their names. A click widens a frame to the whole width, and
text in the search field marks the functions that match.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.analysis.instructions import DOMAINS
from orchestrator.analysis.profile import Frame
from orchestrator.analysis.symbols import KERNEL, UNKNOWN
from orchestrator.report import formats

WIDTH, MARGIN, ROW = 1400, 12, 18
TOP = 96
# What is narrower than this many pixels is left out; what calls it stays as wide.
NARROW = 0.3
LETTER = 6.6

# By kind: what the legend says, and the colour. Names stand on them in dark ink.
KINDS = {
    "user": ("program", "#8cc5ee"),
    "library": ("library", "#b9dff5"),
    "kernel": ("Linux", "#f7b267"),
    "module": ("module of Linux", "#f4845f"),
    "ring0": ("ring 0 of a dataplane", "#86d3b4"),
    "unknown": ("unknown", "#c4c9cf"),
}


@dataclass(slots=True)
class _Box:
    frame: Frame | None
    own: int = 0
    total: int = 0
    below: dict[Frame, "_Box"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A frame as it is drawn."""

    x: float
    y: int
    width: float
    label: str
    name: str
    title: str
    kind: str


def flamegraph(
    stacks: Iterable[tuple[tuple[Frame, ...], int]], *, title: str, subtitle: str, requests: int
) -> str:
    """The SVG. stacks: outermost frame first, with what the innermost executed itself."""
    root = _tree(stacks)
    bars = list(_bars(root, requests))
    rows = 1 + max((bar.y for bar in bars), default=0) // ROW
    kinds = {bar.kind for bar in bars}
    environment = Environment(
        loader=PackageLoader("orchestrator", "report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("flamegraph.svg.j2").render(
        title=title,
        subtitle=subtitle,
        bars=bars,
        kinds={name: about for name, about in KINDS.items() if name in kinds},
        width=WIDTH,
        inner=WIDTH - 2 * MARGIN,
        margin=MARGIN,
        top=TOP,
        row=ROW,
        letter=LETTER,
        height=TOP + rows * ROW + MARGIN,
    )


def kind_of(frame: Frame) -> str:
    """What a frame's colour tells."""
    domain, where = DOMAINS[frame.domain], frame.function.object
    if frame.function.name == UNKNOWN:
        return "unknown"
    if domain == "kernel":
        return "kernel" if where == KERNEL else "module"
    if domain == "user" and (".so" in where or where.startswith("[")):
        return "library"
    return domain


def _tree(stacks: Iterable[tuple[tuple[Frame, ...], int]]) -> _Box:
    root = _Box(None)
    for frames, count in stacks:
        box = root
        box.total += count
        for frame in frames:
            box = box.below.setdefault(frame, _Box(frame))
            box.total += count
        box.own += count
    return root


def _bars(root: _Box, requests: int) -> Iterator[Bar]:
    scale = (WIDTH - 2 * MARGIN) / (root.total or 1)
    yield _bar("all", root, 0.0, 0, root.total * scale, "all", root.total, requests)
    waiting = [(root, 0.0, 1)]
    while waiting:
        box, x, depth = waiting.pop()
        for frame in sorted(box.below, key=lambda one: (one.function, one.domain)):
            one = box.below[frame]
            width = one.total * scale
            if width >= NARROW:
                name, kind = frame.function.name, kind_of(frame)
                yield _bar(name, one, x, depth, width, kind, root.total, requests)
                waiting.append((one, x, depth + 1))
            x += width


def _bar(
    name: str, box: _Box, x: float, depth: int, width: float, kind: str, whole: int, requests: int
) -> Bar:
    where = f" ({box.frame.function.object})" if box.frame else ""
    lines = [f"{name}{where}", f"{box.total:,} instructions, {box.total / (whole or 1):.2%}"]
    if requests:
        lines.append(f"{formats.significant(box.total / requests, 4)} per request")
    if box.own and box.own != box.total:
        lines.append(f"{box.own:,} in the function itself")
    return Bar(
        x=round(x, 2),
        y=depth * ROW,
        width=round(width, 2),
        name=name,
        label=fit(name, width),
        title="\n".join(lines),
        kind=kind,
    )


def fit(name: str, width: float) -> str:
    """As much of a name as there is room for."""
    room = int((width - 6) / LETTER)
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room >= 4 else ""
