# SPDX-License-Identifier: Apache-2.0
"""What every nightly found, a line each: `<history>/<suite>.jsonl`, and where levels changed."""

import json
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis import baseline as baselines
from orchestrator.analysis import changepoints, fields
from orchestrator.analysis.cells import Key, key_from
from orchestrator.analysis.fields import Fields, RawError
from orchestrator.analysis.nightly import Nightly
from orchestrator.analysis.thresholds import threshold_for
from orchestrator.analysis.verdicts import VIRTUAL
from orchestrator.errors import InfrastructureError
from orchestrator.host import durable

logger = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One line: which commit, when, where, and what."""

    name: str
    started: str
    commit: str
    subject: str
    dirty: bool
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The values of a cell over the nights that have it, and the places of its changes, as indices
    of `values`. threshold: a smaller change counts as none. On the wall clock only nights of the
    last night's host are in it."""

    key: Key
    unit: str
    direction: str
    nights: tuple[Night, ...]
    values: tuple[float, ...]
    changes: tuple[int, ...]
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    key: Key
    unit: str
    direction: str
    night: Night
    value: float
    noise: float


def path_of(folder: Path, suite: str) -> Path:
    return folder / f"{suite}.jsonl"


def append(folder: Path, nightly: Nightly) -> Path:
    """Add a nightly as one line, on disk when this returns. Raises nothing for an old line that a
    crash cut off: the new one begins on a line of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, nightly.about.suite)
    line = json.dumps(_line(nightly), ensure_ascii=False)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with open(descriptor, "r+b") as file:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write(("\n" if torn else "").encode() + line.encode() + b"\n")
        file.flush()
        os.fsync(descriptor)
    durable.sync(folder)
    return path


def _line(nightly: Nightly) -> dict[str, Any]:
    about = nightly.about
    floors = {
        (one.key.metric, one.key.clock): one.judgement.noise or 0.0 for one in nightly.outcomes
    }
    values = [
        {
            **asdict(cell.key),
            "unit": cell.unit,
            "direction": cell.direction,
            "value": baselines.level(cell),
            "noise": floors.get((cell.key.metric, cell.key.clock), 0.0),
        }
        for cell in nightly.cells
        if cell.valid and math.isfinite(baselines.level(cell))
    ]
    return {
        "format": FORMAT,
        "name": about.name,
        "started": about.started,
        "commit": about.commit,
        "subject": about.subject,
        "dirty": about.dirty,
        "host": about.host,
        "values": values,
    }


def read(folder: Path, suite: str) -> list[Trend]:
    """The trend of each cell that the last night has. Lines that cannot be read are skipped with a
    warning; raises InfrastructureError when a later ringbed wrote one."""
    path = path_of(folder, suite)
    found: dict[Key, list[_Value]] = {}
    last: Night | None = None
    for number, line in enumerate(_lines(path), 1):
        try:
            night, values = _parse(path, line)
        except RawError as error:
            logger.warning("%s:%d is skipped: %s", path, number, error.message)
            continue
        last = night
        for value in values:
            found.setdefault(value.key, []).append(value)
    return [_trend(key, values) for key, values in found.items() if values[-1].night == last]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _parse(path: Path, line: str) -> tuple[Night, list[_Value]]:
    data = fields.parse(path.name, line)
    if (found := data.integer("format")) != FORMAT:
        raise InfrastructureError(f"{path} has format {found}; this ringbed reads {FORMAT}")
    texts = ("name", "started", "commit", "subject", "host")
    night = Night(dirty=data.boolean("dirty"), **{name: data.text(name) for name in texts})
    return night, [_value(night, one) for one in data.children("values")]


def _value(night: Night, data: Fields) -> _Value:
    return _Value(
        key=key_from(data),
        unit=data.text("unit"),
        direction=data.text("direction"),
        night=night,
        value=data.number("value"),
        noise=data.number("noise"),
    )


def _trend(key: Key, found: Sequence[_Value]) -> Trend:
    last = found[-1]
    limit = threshold_for(key.metric, key.clock).share
    if key.clock == VIRTUAL:
        kept = list(found)
        changes = changepoints.steps([one.value for one in kept], limit)
    else:
        kept = [one for one in found if one.night.host == last.night.host]
        limit = max(limit, last.noise)
        changes = changepoints.divisive([one.value for one in kept], limit)
    return Trend(
        key=key,
        unit=last.unit,
        direction=last.direction,
        nights=tuple(one.night for one in kept),
        values=tuple(one.value for one in kept),
        changes=tuple(changes),
        threshold=limit,
    )
