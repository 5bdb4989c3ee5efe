# SPDX-License-Identifier: Apache-2.0
"""A matplotlib Figure as SVG, PDF and PNG: the same figure always gives the same bytes."""

import io
import re
from collections.abc import Callable, Mapping

import matplotlib
from matplotlib.figure import Figure

from orchestrator.report import theme

PNG_DPI = 160
FORMATS = ("svg", "pdf", "png")


def render(draw: Callable[[], Figure], salt: str) -> dict[str, bytes]:
    """The files of one figure by format. salt keeps the ids inside of two SVGs apart."""
    with matplotlib.rc_context({**theme.RC, "svg.hashsalt": f"ringbed-{salt}"}):
        figure = draw()
        return {name: _save(figure, name) for name in FORMATS}


# What would tell when and by which version a file was made, and so change its bytes.
_METADATA: Mapping[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "ringbed"},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "png": {"Software": None},
}


def _save(figure: Figure, name: str) -> bytes:
    buffer = io.BytesIO()
    if name == "png":
        figure.savefig(
            buffer,
            format=name,
            dpi=PNG_DPI,
            facecolor="white",
            metadata=_METADATA[name],
            pil_kwargs={"compress_level": 4},
        )
    else:
        figure.savefig(buffer, format=name, metadata=_METADATA[name])
    return buffer.getvalue()


def inline(svg: bytes, title: str) -> str:
    """An SVG as it stands in a page: it fills its column and follows the page's colours."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Groups carry ids that nothing refers to and that would repeat in each figure of the page.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    head, _, body = text.partition(">")
    head = re.sub(r' (?:width|height|version|xmlns:xlink)="[^"]*"', "", head)
    body = body.replace("xlink:href", "href")
    for colour, variable in _variables().items():
        body = body.replace(colour, f"var(--{variable}, {colour})")
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'{head} role="img" aria-label="{label}">{body}'


def _variables() -> Mapping[str, str]:
    names = {theme.INK: "ink", theme.MUTED: "muted", theme.GRID: "grid"}
    for index, (colour, _) in enumerate(theme.SERIES_COLOURS):
        names[colour] = f"series-{index}"
    return names
