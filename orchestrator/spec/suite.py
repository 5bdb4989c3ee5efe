# SPDX-License-Identifier: Apache-2.0
"""A suite: the experiments, or parts of them, that a nightly regression measures.

`experiments/suites/<name>.yml`, read with the same care as an experiment: every fault has its line
and column, and every experiment is checked with the suite's changes before anything is measured.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator import paths
from orchestrator.errors import SpecError, UsageError
from orchestrator.spec.faults import Fault, did_you_mean, nearest, raise_faults
from orchestrator.spec.fields import Count, Name, Scalar, SpecModel, Text
from orchestrator.spec.loading import find_experiment, load_experiment, read_text, shown_path
from orchestrator.spec.metrics import METRICS
from orchestrator.spec.model import Clock, Experiment
from orchestrator.spec.reading import read_yaml
from orchestrator.spec.source import Source
from orchestrator.spec.validation import Place, validate

SUFFIX = ".yml"


def _one_or_more(value: object) -> object:
    """`only: linux-*` means the same as a list of it."""
    return [value] if isinstance(value, str) else value


Patterns = Annotated[tuple[Text, ...], BeforeValidator(_one_or_more)]
Values = Scalar | tuple[Scalar, ...] | Mapping[str, Scalar]


class SuiteEntry(SpecModel):
    """One experiment of a suite."""

    experiment: Text = Field(
        description="Name below experiments/, or a path relative to the suite's file.",
        examples=["quickstart"],
    )
    name: Name | None = Field(
        None, description="Name within the suite; that of the experiment when left out."
    )
    clock: Clock | None = Field(None, description="The clock, instead of the experiment's.")
    changes: Mapping[str, Values] = Field(
        {},
        alias="set",
        description="Keys of the experiment that differ, as for --set.",
        examples=[{"duration": "50ms", "matrix.load": [4000]}],
    )
    only: Patterns = Field((), description="Only these trials, as for --only.")
    repeat: Count | None = Field(
        None, le=1000, description="Repetitions instead of the experiment's."
    )
    metrics: tuple[Text, ...] | None = Field(
        None,
        description="What is judged; the metrics that the experiment names when left out.",
        min_length=1,
    )

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the entry changes, as arguments of --set."""
        clock = () if self.clock is None else (f"clock={self.clock}",)
        # JSON is YAML, and says what is a text and what is a number.
        return (*clock, *(f"{key}={_text(value)}" for key, value in self.changes.items()))


class Suite(SpecModel):
    """Experiments that are measured together, and compared with a baseline."""

    schema_version: Literal[1] = Field(
        alias="schema", description="Version of this format.", examples=[1]
    )
    name: Name = Field(description="Name of the suite: that of its file.", examples=["nightly"])
    title: Text = Field(description="Title of the report.", examples=["Every night"])
    description: Text | None = Field(None, description="What the suite is for; Markdown.")
    experiments: tuple[SuiteEntry, ...] = Field(min_length=1, description="What is measured.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An entry of a suite with the experiment it names, read and checked.

    name: within the suite. metrics: what is judged of it.
    """

    name: str
    file: Path
    entry: SuiteEntry
    experiment: Experiment
    metrics: tuple[str, ...]


def find_suite(name_or_path: str, folder: Path | None = None) -> Path:
    """The file of a suite: a path, or the name of one in experiments/suites/."""
    folder = folder or paths.project("experiments", "suites")
    for given in (Path(name_or_path), folder / f"{name_or_path}{SUFFIX}"):
        if given.is_file():
            return given
    names = [path.stem for path in sorted(folder.glob(f"*{SUFFIX}"))]
    found = nearest(Path(name_or_path).stem, names)
    hint = f"did you mean {found}?" if found else f"suites: {', '.join(names) or 'none'}"
    raise UsageError(f"there is no suite {name_or_path}", hint=hint)


def load_suite(path: Path) -> tuple[Suite, tuple[Part, ...]]:
    """Read and check a suite and all its experiments. Raises SpecError."""
    document = read_yaml(read_text(path), shown_path(path))
    raise_faults(document.faults, shown_path(path))
    source = Source(name=shown_path(path), keys=document.keys, values=document.values)
    place = Place(source=source, root=Suite)
    if not isinstance(document.data, dict):
        what = "is empty" if document.data is None else "holds no keys and values"
        raise_faults([place.fault((), f"the suite {what}")], source.name)
    suite, faults = validate(Suite, document.data, place)
    raise_faults(faults, source.name)
    assert isinstance(suite, Suite)
    if suite.name != path.stem:
        hint = f"write name: {path.stem}, or rename the file"
        fault = place.fault(("name",), f"the file is called {path.name}", hint=hint)
        raise_faults([fault], source.name)
    parts = tuple(
        _part(number, entry, path, place) for number, entry in enumerate(suite.experiments)
    )
    raise_faults([*_twice(parts, place), *_unknown_metrics(parts, place)], source.name)
    return suite, parts


def _part(number: int, entry: SuiteEntry, path: Path, place: Place) -> Part:
    beside = path.parent / entry.experiment
    try:
        file = find_experiment(str(beside) if beside.exists() else entry.experiment)
    except UsageError as error:
        loc = ("experiments", number, "experiment")
        raise_faults([place.fault(loc, error.message, hint=error.hint)], place.source.name)
        raise
    try:
        experiment = load_experiment(file, entry.overrides)
    except SpecError as error:
        # The fault is told with its place in the experiment; who asked for it comes below.
        mark = place.source.value_mark(("experiments", number))
        error.details = "\n".join(part for part in (error.details, f"asked for by {mark}") if part)
        raise
    names = entry.metrics if entry.metrics is not None else _per_trial(experiment)
    return Part(
        name=entry.name or experiment.name,
        file=file,
        entry=entry,
        experiment=experiment,
        metrics=names,
    )


def _per_trial(experiment: Experiment) -> tuple[str, ...]:
    """The experiment's metrics without those that are derived from all trials of a variant."""
    definitions = {name: experiment.metric_definition(name) for name in experiment.metric_names()}
    return tuple(
        name for name, known in definitions.items() if known is None or known.scope != "variant"
    )


def _twice(parts: Sequence[Part], place: Place) -> list[Fault]:
    faults, seen = [], set[str]()
    for number, part in enumerate(parts):
        if part.name in seen:
            faults.append(
                place.fault(
                    ("experiments", number),
                    f"two entries are called {part.name}",
                    hint="give one of them a name of its own: name: …",
                )
            )
        seen.add(part.name)
    return faults


def _unknown_metrics(parts: Sequence[Part], place: Place) -> list[Fault]:
    faults = []
    for number, part in enumerate(parts):
        for index, name in enumerate(part.entry.metrics or ()):
            loc = ("experiments", number, "metrics", index)
            known = part.experiment.metric_definition(name)
            if known is None:
                hint = did_you_mean(name, list(METRICS))
                faults.append(place.fault(loc, f"unknown metric {name}", hint=hint))
            elif known.scope == "variant":
                message = f"{name} is derived from all trials of a variant: it is no cell"
                faults.append(place.fault(loc, message))
    return faults


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
