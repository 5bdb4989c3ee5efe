# SPDX-License-Identifier: Apache-2.0
"""The journal of a run: one JSON object a line, on disk before the next thing happens.

A trial is journalled before it starts and after it ends, so that after any crash the journal
tells what finished (and is never done again), and what was under way (and is done again from the
start). A line that a crash cut short can only be the last one, and is ignored.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from orchestrator.errors import InfrastructureError
from orchestrator.host import durable

type Outcome = Literal["ok", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. event: run-start, run-resume, run-end, trial-start, trial-end. time: Unix."""

    time: float
    event: str
    trial: str = ""
    outcome: str = ""
    reason: str = ""
    seconds: float = 0.0


class Journal:
    """Appends entries; each is on disk (fsync) when `append` returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        durable.sync(path.parent)
        self._end_cut_line(path)

    def _end_cut_line(self, path: Path) -> None:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.write(self._fd, b"\n")

    def append(self, event: str, **fields: Any) -> None:
        entry = {"time": round(time.time(), 3), "event": event, **fields}
        os.write(self._fd, (json.dumps(entry, ensure_ascii=False) + "\n").encode())
        os.fsync(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)


def read(path: Path) -> Iterator[Entry]:
    """The entries of a journal, oldest first; nothing when there is no journal yet."""
    if not path.exists():
        return
    known = {field for field in Entry.__dataclass_fields__}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            entry = Entry(**{key: value for key, value in fields.items() if key in known})
        except (ValueError, TypeError, AttributeError):
            if _was_cut_short(lines, number):
                continue
            raise InfrastructureError(
                f"{path}:{number}: not a line of a journal: {line[:80]}",
                hint="the file was changed by something else; the run cannot be resumed from it",
            ) from None
        yield entry


def _was_cut_short(lines: list[str], number: int) -> bool:
    """Whether line `number` is the last one, or is followed by a later start of the run."""
    following = next((line for line in lines[number:] if line.strip()), "")
    return not following or '"run-resume"' in following


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a journal says of a run. outcome maps the ids of trials that ended; under_way is the
    set of those that started and did not end. A trial that is ok and has a reason is void."""

    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    under_way: frozenset[str] = frozenset()
    ended: str = ""

    @property
    def voids(self) -> dict[str, str]:
        """Trials that are done, but whose load may not be used, with the reason."""
        return {trial: self.reasons[trial] for trial in self.done if self.reasons[trial]}

    @property
    def done(self) -> frozenset[str]:
        return frozenset(trial for trial, outcome in self.outcomes.items() if outcome == "ok")


def progress(path: Path) -> Progress:
    """Fold a journal; a later entry of a trial replaces an earlier one."""
    outcomes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    seconds: dict[str, float] = {}
    under_way: set[str] = set()
    ended = ""
    for entry in read(path):
        match entry.event:
            case "trial-start":
                under_way.add(entry.trial)
                outcomes.pop(entry.trial, None)
            case "trial-end":
                under_way.discard(entry.trial)
                outcomes[entry.trial] = entry.outcome
                reasons[entry.trial] = entry.reason
                seconds[entry.trial] = entry.seconds
            case "run-end":
                ended = entry.outcome
            case "run-start" | "run-resume":
                ended = ""
            case _:
                pass
    return Progress(
        outcomes=outcomes,
        reasons=reasons,
        seconds=seconds,
        under_way=frozenset(under_way),
        ended=ended,
    )
