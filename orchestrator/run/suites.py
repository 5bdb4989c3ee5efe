# SPDX-License-Identifier: Apache-2.0
"""Runs the experiments of a suite one after another, and the directories of nightly results."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from orchestrator.errors import InfrastructureError, RingbedError, UsageError
from orchestrator.run import session
from orchestrator.run.directory import RunDirectory
from orchestrator.run.session import Selection, Settings, Watcher
from orchestrator.spec import Part

FOLDER = "nightly"
_FILE = "nightly.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One experiment of a suite. run: None when it did not get as far as having one. failure: why
    it is not complete, in words; empty when it is."""

    part: Part
    run: RunDirectory | None
    failure: str = ""


class Tracker(Watcher, Protocol):
    """A watcher that remembers which run it was told of."""

    run: RunDirectory | None


def selection(part: Part) -> Selection:
    """What of the experiment the suite asks for."""
    return Selection(overrides=part.entry.overrides, only=part.entry.only, repeat=part.entry.repeat)


def check(parts: Sequence[Part], settings: Settings) -> None:
    """Plan everything once, so that a mistake in the last entry does not cost a night."""
    for part in parts:
        session.foresee(str(part.file), selection(part), settings)


def measure(
    parts: Sequence[Part],
    settings: Settings,
    watch: Callable[[Part], Tracker],
    on_failure: Callable[[Part, RingbedError], None],
) -> list[Measured]:
    """Run every experiment. One that fails does not keep the others from being measured."""
    measured = []
    for part in parts:
        tracker, failure = watch(part), ""
        try:
            asked = replace(settings, keep_going=True)
            session.start(str(part.file), selection(part), asked, tracker)
        except InfrastructureError as error:
            failure = error.message
            on_failure(part, error)
        measured.append(Measured(part=part, run=tracker.run, failure=failure))
    return measured


def create(runs_dir: Path, suite: str) -> Path:
    """The directory of a new nightly result: `<runs>/nightly/<utc>-<suite>-<id>`."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = runs_dir / FOLDER / f"{stamp}-{suite}-{secrets.token_hex(3)}"
    path.mkdir(parents=True)
    return path


def find(runs_dir: Path, wanted: str = "latest") -> Path:
    """The directory of a nightly result by path, name, end of its name, or `latest`."""
    if (Path(wanted) / _FILE).is_file():
        return Path(wanted).resolve()
    folder = runs_dir / FOLDER
    known = sorted(path.parent for path in folder.glob(f"*/{_FILE}"))
    if not known:
        raise UsageError(
            f"no nightly results in {folder}", hint="make one with: ./ringbed nightly nightly"
        )
    if wanted == "latest":
        return known[-1]
    matches = [path for path in known if path.name == wanted or path.name.endswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    names = "\n".join(f"  {path.name}" for path in (matches or known)[-8:])
    what = "more than one nightly result is" if matches else "no nightly result is"
    raise UsageError(f"{what} called {wanted!r}", details=f"results in {folder}:\n{names}")
