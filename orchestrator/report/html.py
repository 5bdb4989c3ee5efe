# SPDX-License-Identifier: Apache-2.0
"""What all pages share: how templates are read, the style, the colours."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from orchestrator import __version__
from orchestrator.report import theme

HERE = Path(__file__).parent


def environment() -> Environment:
    """For templates that stand beside this file."""
    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "version": __version__,
        "css": part("report.css"),
        "palette": Markup(_palette()),
    }
    return made


def part(name: str) -> Markup:
    """A file that goes into a page as it is."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


def _palette() -> str:
    """Colours as CSS variables, with their replacements on dark ground."""

    def block(which: int) -> str:
        return "".join(
            f"--series-{index}:{pair[which]};" for index, pair in enumerate(theme.SERIES_COLOURS)
        )

    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{block(1)}}}}}"
    return f":root{{{block(0)}}}{dark}"
