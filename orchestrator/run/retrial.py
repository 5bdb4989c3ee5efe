# SPDX-License-Identifier: Apache-2.0
"""One trial again, by the ringbed of another commit.

The experiment file is a copy of the one that was asked for, so that all commits measure the same;
everything else is the commit's own. The caches are shared: what is in them is named by the hash of
what it was made of, so a commit that changed something finds nothing of another's there. State and
runs are not.
"""

import csv
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import paths, process
from orchestrator.errors import DeadlineError, ExitCode
from orchestrator.run import directory, stored
from orchestrator.run.bisect import Unmeasurable
from orchestrator.run.repository import Commit
from orchestrator.run.session import Selection, clock_here
from orchestrator.spec import Experiment, find_experiment, load_experiment
from orchestrator.spec.loading import is_clock_open

# A commit may have to build its trees and its image first.
TIMEOUT_S = 3 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrial:
    """What is measured. repetition: the only one that counts; None: the median of all."""

    experiment: Experiment
    selection: Selection
    metric: str
    repetition: int | None = None

    def __str__(self) -> str:
        return process.shell_form(["run", self.experiment.name, *_options(self.selection)])


def from_run(runs_dir: Path, wanted: str, metric: str) -> Retrial | None:
    """The trial that is meant by RUN/TRIAL, or by TRIAL alone; None when there is none such."""
    found = directory.find_trial(runs_dir, wanted)
    if found is None:
        return None
    run, trial_id = found
    trial = next(one for one in stored.read_manifest(run)["trials"] if one["id"] == trial_id)
    plan = stored.read_plan(run)
    asked, clock = Selection.from_json(plan["selection"]), plan["clock"]
    axes = {key: value for key, value in trial["axes"].items() if key != "variant"}
    only = [f"variant={trial['variant']}", f"kind={trial['kind']}"]
    only += [f"repetition={trial['repetition']}"]
    only += [f"{key}={value}" for key, value in axes.items()]
    return Retrial(
        experiment=load_experiment(run.experiment, asked.overrides, clock=clock),
        # A file that leaves the clock open must not let each commit choose anew.
        selection=Selection(
            overrides=tuple(dict.fromkeys((*asked.overrides, f"clock={clock}"))),
            only=tuple(only),
            repeat=trial["repetition"],
            seed=asked.seed,
        ),
        metric=metric,
        repetition=trial["repetition"],
    )


def from_experiment(name: str, selection: Selection, metric: str) -> Retrial:
    """Trials of an experiment file. Where it leaves the clock open, this host chooses once."""
    path = find_experiment(name)
    if is_clock_open(path, selection.overrides):
        # Or each commit would choose anew, and the threshold could be the other clock's.
        overrides = (*selection.overrides, f"clock={clock_here()}")
        selection = replace(selection, overrides=overrides)
    experiment = load_experiment(path, selection.overrides)
    return Retrial(experiment=experiment, selection=selection, metric=metric)


class Bench:
    """Measures commits. place: a directory of short name whose owner removes it."""

    def __init__(self, retrial: Retrial, place: Path) -> None:
        self._retrial = retrial
        self._runs = place / "runs"
        self._state = place / "s"
        self._file = place / "experiment" / "experiment.yml"
        self._copy()

    def _copy(self) -> None:
        source = self._retrial.experiment.source
        for path, name in [
            (source.path, "experiment.yml"),
            *((source.path.parent / name, name) for name in source.files),
        ]:
            target = self._file.parent / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def __call__(self, commit: Commit, checkout: Path) -> float:
        """The value at a commit. Raises Unmeasurable."""
        argv = [str(checkout / "ringbed"), "run", str(self._file)]
        argv += [*_options(self._retrial.selection), "--runs-dir", str(self._runs), "--json"]
        env = {"RINGBED_STATE": str(self._state), "RINGBED_CACHE": str(paths.cache())}
        try:
            done = process.run(argv, timeout=TIMEOUT_S, env=env, cwd=checkout, check=False)
        except DeadlineError as error:
            raise Unmeasurable(error.message, details=error.details) from error
        if done.returncode == ExitCode.INTERRUPTED:
            raise Unmeasurable("was interrupted", details=process.tail(done.stderr))
        path = _run_of(done.stdout)
        if path is None:
            raise Unmeasurable(_last_error(done.stderr), details=process.tail(done.stderr))
        return self._value(path / "results.csv")

    def _value(self, path: Path) -> float:
        retrial = self._retrial
        values, reasons = [], []
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if row["metric"] != retrial.metric:
                        continue
                    if retrial.repetition not in (None, int(row["repetition"])):
                        continue
                    if row["valid"] == "true":
                        values.append(float(row["value"]))
                    else:
                        reasons.append(row["reason"])
        except (OSError, KeyError, ValueError) as error:
            raise Unmeasurable(f"results.csv cannot be read: {error}") from error
        if not values:
            why = reasons[0] if reasons else f"there is no {retrial.metric} in the results"
            raise Unmeasurable(why)
        return statistics.median(values)


def _options(selection: Selection) -> Sequence[str]:
    words: list[str] = []
    for override in selection.overrides:
        words += ["--set", override]
    for pattern in selection.only:
        words += ["--only", pattern]
    if selection.repeat is not None:
        words += ["--repeat", str(selection.repeat)]
    if selection.seed is not None:
        words += ["--seed", str(selection.seed)]
    return words


def _run_of(text: str) -> Path | None:
    """Where the results are, as `run --json` says; it says nothing when nothing was measured."""
    try:
        return Path(json.loads(text)["path"])
    except (ValueError, KeyError, TypeError):
        return None


def _last_error(text: str) -> str:
    """What a ringbed printed as its error; else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    return lines[-1] if lines else "it ended without a word"
