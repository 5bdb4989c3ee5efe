# SPDX-License-Identifier: Apache-2.0
"""Log lines and timed steps.

Modules log through `logging.getLogger(__name__)` with lazy arguments. Work that takes seconds
is wrapped in `step()`: its begin and end go to every registered sink, so that the terminal shows
progress and the run directory keeps the same events as JSON lines.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """One edge of a timed step. depth counts from 0; seconds is set on the ending edge."""

    edge: Literal["begin", "end", "fail"]
    title: str
    depth: int
    time: float
    seconds: float | None = None


type Sink = Callable[[StepEvent], None]

_sinks: list[Sink] = []
_depth = 0


@contextmanager
def sink(receive: Sink) -> Iterator[None]:
    """Send step events to `receive` while the context lasts."""
    _sinks.append(receive)
    try:
        yield
    finally:
        _sinks.remove(receive)


def _emit(event: StepEvent) -> None:
    for receive in list(_sinks):
        receive(event)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a piece of work, time it, and say whether it failed."""
    global _depth
    begin = time.monotonic()
    _emit(StepEvent(edge="begin", title=title, depth=_depth, time=time.time()))
    _depth += 1
    edge: Literal["end", "fail"] = "fail"
    try:
        yield
        edge = "end"
    finally:
        _depth -= 1
        seconds = time.monotonic() - begin
        _emit(StepEvent(edge=edge, title=title, depth=_depth, time=time.time(), seconds=seconds))


class JsonLines(logging.Handler):
    """Writes step events and log records to one file, a JSON object a line."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def step(self, event: StepEvent) -> None:
        entry = {"time": round(event.time, 6), "edge": event.edge, "step": event.title}
        if event.seconds is not None:
            entry["seconds"] = round(event.seconds, 3)
        self.write(entry)

    def emit(self, record: logging.LogRecord) -> None:
        entry = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "module": record.name,
            "message": record.getMessage(),
        }
        self.write(entry)

    def close(self) -> None:
        self._file.close()
        super().close()
