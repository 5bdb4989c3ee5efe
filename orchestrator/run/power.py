# SPDX-License-Identifier: Apache-2.0
"""Measures one side of a comparison by which verdicts themselves are judged (analysis/power.py):
an experiment of a suite with other seeds, a neutral change, or more work for each request."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import paths
from orchestrator.host import cbuild
from orchestrator.run import neutral, session, suites
from orchestrator.run.neutral import Change
from orchestrator.run.session import Selection, Settings, Watcher
from orchestrator.spec import Part

FOLDER = "power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two that are compared. seed: the experiment's, from which all repetitions have
    theirs. rounds: of work that is added to each request."""

    part: Part
    seed: int
    change: Change | None = None
    rounds: int = 0

    def __str__(self) -> str:
        work = f" with {self.rounds} rounds of work" if self.rounds else ""
        return f"{self.part.name}, seeds of {self.seed}, {self.change or 'as it is'}{work}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A side whose sources are there. key: the hash of everything that decides its results."""

    side: Side
    settings: Settings
    key: str

    def measure(self, watcher: Watcher) -> None:
        """Run all its trials. Raises InfrastructureError when one fails."""
        side = self.side
        session.start(str(side.part.file), _selection(side), self.settings, watcher)


@contextmanager
def prepared(side: Side, settings: Settings) -> Iterator[Ready]:
    """The side with its own copy of the C programs' sources, while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="ringbed-power-") as scratch:
        source = Path(scratch) / "dataplane"
        shutil.copytree(paths.project("dataplane"), source)
        if side.change is not None:
            neutral.apply(side.change, source)
        if side.rounds:
            neutral.add_work(source, side.rounds)
        _, _, plan = session.foresee(str(side.part.file), _selection(side), settings)
        words = [trial.hash for trial in plan.trials]
        words += [cbuild.source_hash(source, "", "release"), *side.part.metrics]
        key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        yield Ready(side=side, settings=replace(settings, dataplane=source), key=key)


def apps(part: Part, settings: Settings) -> set[str]:
    """The applications that an experiment of a suite measures."""
    _, _, plan = session.foresee(str(part.file), suites.selection(part), settings)
    return {trial.app for trial in plan.trials}


def _selection(side: Side) -> Selection:
    chosen = suites.selection(side.part)
    if side.change is not None and side.change.environment_bytes:
        padding = side.change.environment_bytes
        chosen = replace(
            chosen,
            overrides=(
                *chosen.overrides,
                *(
                    f"variants.{name}.options.environment_bytes={padding}"
                    for name in side.part.experiment.variants
                ),
            ),
        )
    return replace(chosen, seed=side.seed)


def place_of(runs_dir: Path) -> Path:
    """Where what was measured is kept."""
    place = runs_dir / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    return place
