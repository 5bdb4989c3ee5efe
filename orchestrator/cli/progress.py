# SPDX-License-Identifier: Apache-2.0
"""Live progress of a run: the step under way, trials done and left, and the time left.

On a terminal one line at the bottom lives and finished steps scroll above it; elsewhere every
event is a line of its own, so that a log file stays readable.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from orchestrator import log
from orchestrator.cli.output import seconds
from orchestrator.words import count_of, readable_times

BAR_WIDTH = 24
ROOM_FOR_A_BAR = 110


class Reporter(Protocol):
    """Receives steps, and the trials of a run."""

    def step(self, event: log.StepEvent) -> None: ...

    def trials(self, total: int, seconds_each: float) -> None: ...

    def trial_started(self, label: str) -> None: ...

    def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None: ...


class _Pace:
    """How long the rest takes: the estimate at first, then the mean of what was measured."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._estimate = 0.0
        self._begin = 0.0

    def announce(self, total: int, seconds_each: float) -> None:
        self.total, self._estimate = total, seconds_each
        self.done, self._begin = 0, 0.0

    def started(self) -> None:
        # The clock starts with the first trial: guests come up between the announcement and it.
        self._begin = self._begin or time.monotonic()

    def left(self) -> float:
        each = self._estimate
        if self.done >= 3:
            each = (time.monotonic() - self._begin) / self.done
        return each * (self.total - self.done)


class Silent:
    """Shows nothing (`--quiet`, `--json`)."""

    def step(self, event: log.StepEvent) -> None: ...

    def trials(self, total: int, seconds_each: float) -> None: ...

    def trial_started(self, label: str) -> None: ...

    def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None: ...


class Plain:
    """A line an event; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = _Pace()
        self._begin = time.monotonic()

    def _line(self, text: str) -> None:
        stamp = f"[{time.monotonic() - self._begin:7.1f} s]"
        self._console.print(Text(f"{stamp} {text}"), soft_wrap=True)

    def step(self, event: log.StepEvent) -> None:
        indent = "  " * event.depth
        match event.edge:
            case "begin":
                self._line(f"{indent}{event.title} …")
            case "end" if (event.seconds or 0) >= 1:
                self._line(f"{indent}{event.title}: {seconds(event.seconds or 0)}")
            case "fail":
                self._line(f"{indent}{event.title}: failed after {seconds(event.seconds or 0)}")
            case _:
                pass

    def trials(self, total: int, seconds_each: float) -> None:
        self._pace.announce(total, seconds_each)
        self._line(f"{count_of(total, 'trial')}, about {seconds(total * seconds_each)}")

    def trial_started(self, label: str) -> None:
        self._pace.started()

    def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None:
        self._pace.done += 1
        left = seconds(self._pace.left())
        note = f" ({readable_times(reason)})" if reason else ""
        self._line(
            f"trial {self._pace.done}/{self._pace.total} {outcome:<7} {label}{note}"
            f"  {took:.1f} s, {left} left"
        )


def _text(template: str, style: str = "none") -> TextColumn:
    return TextColumn(template, style=style, table_column=Column(no_wrap=True))


class Live:
    """A living line at the bottom of the terminal; finished steps scroll above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = _Pace()
        self._open: list[str] = []
        self._trial = ""
        # The description gives way, so that on a narrow terminal the figures stay whole.
        giving = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=giving),
            *([BarColumn(bar_width=BAR_WIDTH)] if console.width >= ROOM_FOR_A_BAR else []),
            _text("{task.fields[count]}"),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            _text("{task.fields[left]}", style="dim"),
            console=console,
            expand=True,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self.bar.add_task("starting", total=None, count="", left="")

    def step(self, event: log.StepEvent) -> None:
        if event.edge == "begin":
            self._open.append(event.title)
        else:
            if event.title in self._open:
                self._open.remove(event.title)
            self._scroll(event)
        self._describe()

    def _scroll(self, event: log.StepEvent) -> None:
        if event.depth > 0 and event.edge == "end":
            return
        mark = ("✓", "green") if event.edge == "end" else ("✗", "red")
        took = seconds(event.seconds or 0)
        indent = "  " * event.depth
        line = Text.assemble(indent, mark, f" {event.title}  ", (took, "dim"))
        self._console.print(line, soft_wrap=True)

    def trials(self, total: int, seconds_each: float) -> None:
        self._pace.announce(total, seconds_each)
        self.bar.update(self._task, total=total, completed=0)
        self._count()

    def _count(self) -> None:
        self.bar.update(
            self._task,
            completed=self._pace.done,
            count=f"{self._pace.done}/{self._pace.total} trials",
            left=f"{seconds(self._pace.left())} left" if self._pace.done < self._pace.total else "",
        )

    def trial_started(self, label: str) -> None:
        self._pace.started()
        self._trial = label
        self._describe()

    def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None:
        self._pace.done += 1
        self._trial = ""
        if outcome != "ok":
            mark = ("○", "yellow") if outcome == "void" else ("✗", "red")
            line = Text.assemble(mark, f" {label}: {outcome}: {readable_times(reason)}")
            self._console.print(line, soft_wrap=True)
        self._count()
        self._describe()

    def _describe(self) -> None:
        self.bar.update(self._task, description=self._trial or " › ".join(self._open[-2:]) or "…")


@contextmanager
def reporter(console: Console, *, silent: bool) -> Iterator[Reporter]:
    """The reporter that fits the console, receiving every step while the context lasts."""
    if silent:
        yield Silent()
        return
    if not console.is_terminal:
        plain = Plain(console)
        with log.sink(plain.step):
            yield plain
        return
    live = Live(console)
    with live.bar, log.sink(live.step):
        yield live
