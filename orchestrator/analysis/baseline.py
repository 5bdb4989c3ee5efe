# SPDX-License-Identifier: Apache-2.0
"""The stored state that nightly results are compared with: `baselines/<suite>.json`.

It holds the samples themselves, not verdicts or medians, so that every later comparison can be
explained. `ringbed baseline accept` is the only writer.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from orchestrator.analysis import cells, fields
from orchestrator.analysis.cells import Cell, Key
from orchestrator.analysis.points import Sample
from orchestrator.analysis.verdicts import VIRTUAL, noise_between
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.host import durable

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """accepted: UTC. commits: those that were measured. host: the machine of wall-clock cells;
    empty when there are none. sources: the nightly results or runs it was made of."""

    suite: str
    accepted: str
    commits: tuple[str, ...]
    host: str
    sources: tuple[str, ...]
    cells: tuple[Cell, ...]

    def find(self, key: Key) -> Cell | None:
        return next((cell for cell in self.cells if cell.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What is accepted: the cells of one nightly result or run, and where they come from."""

    source: str
    commit: str
    host: str
    cells: tuple[Cell, ...]


def accept(suite: str, measurements: Sequence[Measurement], accepted: str) -> Baseline:
    """Several measurements of one state as one baseline. Between them, too, nothing should have
    changed: what did is noise, or on the virtual clock a reason to refuse (UsageError)."""
    keys = list(dict.fromkeys(cell.key for one in measurements for cell in one.cells))
    made = [_merged([_cell_of(one, key) for one in measurements]) for key in keys]
    kept = tuple(cell for cell in made if cell is not None)
    if not kept:
        raise UsageError("there is nothing to accept: no cell has a valid sample")
    hosts = {one.host for one in measurements}
    on_wall = any(cell.key.clock != VIRTUAL for cell in kept)
    if on_wall and len(hosts) > 1:
        raise UsageError(
            "wall-clock cells of different hosts cannot be one baseline",
            details="\n".join(f"  {one.source}: {one.host}" for one in measurements),
        )
    return Baseline(
        suite=suite,
        accepted=accepted,
        commits=tuple(dict.fromkeys(one.commit for one in measurements if one.commit)),
        host=measurements[0].host if on_wall else "",
        sources=tuple(one.source for one in measurements),
        cells=kept,
    )


def _cell_of(measurement: Measurement, key: Key) -> Cell | None:
    return next((cell for cell in measurement.cells if cell.key == key), None)


def _merged(found: Sequence[Cell | None]) -> Cell | None:
    """One cell with all valid samples; None when there are none."""
    several = [cell for cell in found if cell is not None and cell.valid]
    if not several:
        return None
    first = several[0]
    if first.key.clock == VIRTUAL:
        valid = tuple(_by_seed(several))
        noise: tuple[float, ...] = ()
    else:
        valid = tuple(sample for cell in several for sample in cell.valid)
        noise = tuple(_noise(several))
    return Cell(key=first.key, unit=first.unit, direction=first.direction, valid=valid, noise=noise)


def _by_seed(several: Sequence[Cell]) -> Iterator[Sample]:
    seen: dict[int, float] = {}
    for cell in several:
        for sample in cell.valid:
            if seen.setdefault(sample.seed, sample.value) != sample.value:
                raise UsageError(
                    f"{cell.key.full_name} is {seen[sample.seed]:g} in one measurement and "
                    f"{sample.value:g} in another, with the same seed on the virtual clock",
                    hint="accept measurements of one commit only",
                )
    by_seed = {sample.seed: sample for cell in several for sample in cell.valid}
    yield from by_seed.values()


def _noise(several: Sequence[Cell]) -> Iterator[float]:
    for cell in several:
        yield from cell.noise
    for one, other in combinations(several, 2):
        yield from noise_between(one.side.values, other.side.values)


def path_of(folder: Path, suite: str) -> Path:
    return folder / f"{suite}.json"


def write(folder: Path, baseline: Baseline) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, baseline.suite)
    head = {
        "format": FORMAT,
        "suite": baseline.suite,
        "accepted": baseline.accepted,
        "commits": list(baseline.commits),
        "host": baseline.host,
        "sources": list(baseline.sources),
    }
    durable.write_text(path, cells.render(head, baseline.cells))
    return path


def read(folder: Path, suite: str) -> Baseline | None:
    """The baseline of a suite; None when none was accepted yet. Raises InfrastructureError for a
    file that is damaged, or that a later ringbed wrote."""
    path = path_of(folder, suite)
    if not path.exists():
        return None
    data = fields.load(path)
    if (found := data.integer("format")) != FORMAT:
        raise InfrastructureError(
            f"{path} has format {found}; this ringbed reads {FORMAT}",
            hint=f"accept a new one: ./ringbed baseline accept {suite}",
        )
    return Baseline(
        suite=data.text("suite"),
        accepted=data.text("accepted"),
        commits=tuple(map(str, data.get("commits"))),
        host=data.text("host"),
        sources=tuple(map(str, data.get("sources"))),
        cells=tuple(cells.from_json(child) for child in data.children("cells")),
    )


def list_all(folder: Path) -> list[str]:
    """The suites that have a baseline."""
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def level(cell: Cell) -> float:
    """The one number that stands for a cell in lists and in the history."""
    return statistics.median(cell.side.values)
