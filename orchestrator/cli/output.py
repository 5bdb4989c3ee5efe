# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows: results on standard output, everything else on standard error."""

import json
import logging
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.errors import RingbedError

WIDTH_OF_A_FILE = 100
MOST_HEADER_LINES = 4
NARROWEST = 10


class _Console(Console):
    """When nobody reads any more, rich would end the program. Without a reader of results there is
    indeed nothing more to do, which the caller is told; a measurement goes on when only nobody
    looks at its progress."""

    def on_broken_pipe(self) -> None:
        if not self.stderr:
            raise BrokenPipeError
        self.file = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  as long as we live


def _console(*, stderr: bool) -> Console:
    """A console as wide as its terminal; a file or a pipe is read in an editor or
    a mail, where longer lines would wrap."""
    console = _Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    return console


out = _console(stderr=False)
err = _console(stderr=True)

STATUS_STYLE = {
    "ok": "green",
    "finished": "green",
    "same": "green",
    "faster": "green",
    "good": "green",
    "reproduced": "green",
    "warn": "yellow",
    "running": "cyan",
    "interrupted": "yellow",
    "inconclusive": "yellow",
    "invalid": "yellow",
    "void": "yellow",
    "skipped": "yellow",
    "fail": "red",
    "failed": "red",
    "crashed": "red",
    "slower": "red",
    "bad": "red",
    "not measured": "red",
    "not reproduced": "red",
    "not measurable here": "yellow",
    "identical": "green",
    "different": "red",
}


_LEVELS = {"WARNING": ("warning: ", "bold yellow"), "ERROR": ("error: ", "bold red")}
_GAP = 2

_quiet = False
_verbosity = 0


def is_quiet() -> bool:
    """Whether nothing but results and errors is to be shown."""
    return _quiet


def is_verbose() -> bool:
    """Whether the user asked for more than usual."""
    return _verbosity > 0


class _Screen(logging.Handler):
    """Shows log records on the error console, above what lives at its bottom."""

    def emit(self, record: logging.LogRecord) -> None:
        mark = _LEVELS.get(record.levelname)
        try:
            if mark is not None:
                err.print(Text.assemble(mark, record.getMessage()), soft_wrap=True)
            else:
                line = f"{record.name.removeprefix('orchestrator.')}: {record.getMessage()}"
                err.print(Text(line, style="dim"), soft_wrap=True)
        except Exception:
            self.handleError(record)


def set_up(*, verbosity: int, quiet: bool) -> None:
    """Log to standard error: warnings by default, with -v what happens, with -vv everything."""
    global _quiet, _verbosity
    _quiet, _verbosity = quiet, verbosity
    level = logging.WARNING
    if quiet:
        level = logging.ERROR
    elif verbosity:
        level = logging.INFO if verbosity == 1 else logging.DEBUG
    handler = _Screen(level)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG)
    # Libraries talk of their inner life; their errors reach the user as exceptions of ours.
    for name in ("paramiko", "fabric", "invoke", "matplotlib", "asyncio", "fontTools", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "paramiko" else "WARNING")


def show_error(error: RingbedError) -> None:
    """Message in bold, evidence as it is, and what to do next."""
    err.print(Text.assemble(("error: ", "bold red"), (error.message, "bold")), soft_wrap=True)
    if error.details:
        err.print(Text(error.details.rstrip(), style="dim"), soft_wrap=True)
    if error.hint:
        err.print(Text.assemble(("hint: ", "bold cyan"), error.hint), soft_wrap=True)


def warn(message: str) -> None:
    """Something that the user should know, but that stops nothing."""
    if not _quiet:
        err.print(Text.assemble(_LEVELS["WARNING"], message), soft_wrap=True)


def show_json(value: Any) -> None:
    """Machine-readable output: one JSON document, nothing else, on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def styled(word: str) -> Text:
    """A status word in its colour."""
    return Text(word, style=STATUS_STYLE.get(word, ""))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table:
    """A plain table. A column whose name ends with '>' is right-aligned."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=None)
    made.pad_edge, made.padding = False, (0, _GAP, 0, 0)
    for column in columns:
        right = column.endswith(">")
        made.add_column(
            column.rstrip(">"),
            justify="right" if right else "left",
            header_style="bold dim",
            overflow="fold",
        )
    if made.columns:
        made.columns[0].no_wrap = True
    for row in rows:
        made.add_row(*row)
    return made


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, labels: int = 1
) -> None:
    """Print a table whose cells stay whole: headers take several lines where it helps; where the
    terminal is still too narrow for all columns, as several tables below each other, each
    beginning with the first `labels` columns."""
    cells = [[row[place] for row in rows] for place in range(len(columns))]
    for lines in range(1, MOST_HEADER_LINES + 1):
        widths = [_width(one, cell, lines=lines) for one, cell in zip(columns, cells, strict=True)]
        if sum(widths) + _GAP * (len(widths) - 1) <= out.width:
            break
    # What says which row it is stays whole; the others fold beside it.
    room = out.width - sum(widths[place] + _GAP for place in range(labels))
    for number, chosen in enumerate(_chunks(widths, labels, out.width)):
        if number:
            out.print()
        elif title:
            out.print(Text(title, style="bold"), soft_wrap=True)
        made = table(
            "",
            [columns[place] for place in chosen],
            [[row[place] for place in chosen] for row in rows],
        )
        for column, place in zip(made.columns, chosen, strict=True):
            most = out.width if place < labels else max(room, NARROWEST)
            column.width = min(widths[place], most)
        show(made)


def show_facts(facts: Sequence[tuple[str | Text, str | Text]]) -> None:
    """Names and what is to be said of each; long sentences wrap beside their name."""
    made = Table.grid(padding=(0, _GAP, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in facts:
        made.add_row(name, value)
    show(made)


def show(made: Table) -> None:
    """Print a table without the blanks that fill its lines."""
    with out.capture() as capture:
        out.print(made)
    for line in capture.get().splitlines():
        out.file.write(line.rstrip() + "\n")


def _width(header: str, cells: Sequence[str | Text], *, lines: int) -> int:
    """What a column needs: its longest cell, and its header in so many lines."""
    header = header.rstrip(">")
    width = max([1, *(cell_len(word) for word in header.split())])
    while len(textwrap.wrap(header, width)) > lines:
        width += 1
    return max([width, *(cell_len(str(cell)) for cell in cells)])


def _chunks(widths: Sequence[int], labels: int, room: int) -> Iterator[list[int]]:
    """The columns of each table: as many as there is room for."""
    chosen = list(range(labels))
    for place in range(labels, len(widths)):
        needed = sum(widths[one] + _GAP for one in chosen) + widths[place]
        if len(chosen) > labels and needed > room:
            yield chosen
            chosen = list(range(labels))
        chosen.append(place)
    yield chosen


def seconds(value: float) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min 05 s."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def size(value: float) -> str:
    """A number of bytes for people: 512 MiB, 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
