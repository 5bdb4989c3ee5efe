# SPDX-License-Identifier: Apache-2.0
"""From a name or a path to a checked experiment."""

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from orchestrator import paths
from orchestrator.errors import SpecError, UsageError
from orchestrator.spec.axes import axis_values
from orchestrator.spec.checks import Draft, run_checks
from orchestrator.spec.faults import Fault, nearest, raise_faults
from orchestrator.spec.model import Clock, Experiment, Variant
from orchestrator.spec.overrides import apply_clock, apply_override
from orchestrator.spec.reading import Document, read_yaml
from orchestrator.spec.source import Loc, Source
from orchestrator.spec.validation import Place, faults_of, validate

logger = logging.getLogger(__name__)

FILE_NAME = "experiment.yml"
TRACE_KEY = "workload.trace.file"
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outcome of reading an experiment: None with at least one error among the faults."""

    experiment: Experiment | None
    faults: tuple[Fault, ...]


def find_experiment(name_or_path: str, folder: Path | None = None) -> Path:
    """The file of an experiment: a path to it or to its folder, or the name of one in experiments/.

    folder: where names are looked up. Raises UsageError with the nearest name.
    """
    folder = folder or paths.project("experiments")
    for given in (Path(name_or_path), folder / name_or_path):
        if given.is_file():
            return given
        if (given / FILE_NAME).is_file():
            return given / FILE_NAME
    names = [path.parent.name for path in sorted(folder.glob(f"*/{FILE_NAME}"))]
    found = nearest(Path(name_or_path).name, names)
    hint = f"did you mean {found}?" if found else f"experiments: {', '.join(names) or 'none'}"
    raise UsageError(f"there is no experiment {name_or_path}", hint=hint)


def load_experiment(
    path: Path, overrides: Sequence[str] = (), *, clock: Clock = "wall"
) -> Experiment:
    """Read and check an experiment file with `key=value` overrides.

    clock: for a file that leaves the choice open. Warnings are logged. Raises SpecError: with one
    fault it is the message, several are listed in `details`, each with its line and column.
    """
    checked = check_experiment(path, overrides, clock=clock)
    raise_faults(checked.faults, shown_path(path))
    for fault in checked.faults:
        logger.warning("%s", fault)
    assert checked.experiment is not None
    return checked.experiment


def check_experiment(
    path: Path, overrides: Sequence[str] = (), *, clock: Clock = "wall"
) -> Checked:
    """As load_experiment, with all faults as values. Raises SpecError for an unreadable file."""
    text = read_text(path)
    document = read_yaml(text, shown_path(path))
    if document.data is None and document.faults:
        return Checked(experiment=None, faults=tuple(document.faults))
    for argument in overrides:
        apply_override(document, argument)
    apply_clock(document, clock, overrides)
    source = Source(
        path=path,
        name=shown_path(path),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        overrides=tuple(overrides),
        keys=document.keys,
        values=document.values,
    )
    return _check(document, source)


def is_clock_open(path: Path, overrides: Sequence[str] = ()) -> bool:
    """Whether neither the file nor an override chooses the clock."""
    document = read_yaml(read_text(path), shown_path(path))
    for argument in overrides:
        apply_override(document, argument)
    return isinstance(document.data, dict) and document.data.get("clock", "auto") == "auto"


def dump_experiment(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain values under the keys of the file, complete with its defaults.

    The result is a valid experiment again, with the same meaning. Files that it names are beside
    the file it was read from.
    """
    dumped: dict[str, Any] = experiment.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def render_experiment(experiment: Experiment) -> str:
    """The experiment as the text of a file with the same meaning, keys in their order."""
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = False
    text = io.StringIO()
    yaml.dump(dump_experiment(experiment), text)
    return text.getvalue()


def _check(document: Document, source: Source) -> Checked:
    data = document.data
    place = Place(source=source)
    faults = list(document.faults)
    if not isinstance(data, dict):
        what = "is empty" if data is None else "holds no keys and values"
        faults.append(place.fault((), f"the experiment {what}", hint="start from quickstart"))
        return Checked(experiment=None, faults=tuple(faults))
    try:
        experiment, broken = Experiment.model_validate(data), frozenset[str]()
    except ValidationError as error:
        faults += faults_of(error, data, place)
        experiment, broken = _sections(data, source)
    draft = Draft(experiment=experiment, source=source, broken=broken)
    faults += run_checks(draft)
    files, missing = _hash_files(draft)
    faults += missing
    if any(fault.level == "error" for fault in faults):
        return Checked(experiment=None, faults=tuple(faults))
    experiment._source = replace(source, files=files)
    return Checked(experiment=experiment, faults=tuple(faults))


def _sections(data: dict[str, Any], source: Source) -> tuple[Experiment, frozenset[str]]:
    """What of a document is valid section by section, and which sections are not."""
    values: dict[str, Any] = {}
    broken: set[str] = set()
    for name, info in Experiment.model_fields.items():
        key = info.alias or name
        if key not in data:
            if info.is_required():
                broken.add(key)
            else:
                values[name] = info.get_default(call_default_factory=True, validated_data={})
            continue
        kind = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        value, faults = validate(kind, data[key], Place(source=source, loc=(key,)))
        if faults:
            broken.add(key)
        values[name] = _sound_variants(data[key]) if key == "variants" and faults else value
    values.setdefault("variants", {})
    return Experiment.model_construct(**values), frozenset(broken)


def _sound_variants(data: object) -> dict[str, Variant]:
    """The variants that are valid by themselves: what they change of the workload is checked."""
    sound = {}
    for name, entry in data.items() if isinstance(data, dict) else ():
        variant, faults = validate(Variant, entry, Place(source=Source()))
        if not faults:
            sound[name] = variant
    return sound


def _trace_files(experiment: Experiment, broken: frozenset[str]) -> Iterator[tuple[Loc, str]]:
    if "workload" not in broken and experiment.workload.trace is not None:
        yield ("workload", "trace", "file"), experiment.workload.trace.file
    for name, variant in () if "variants" in broken else experiment.variants.items():
        trace = variant.workload.get("trace")
        if isinstance(trace, dict) and isinstance(trace.get("file"), str):
            yield ("variants", name, "workload", "trace", "file"), trace["file"]
    axis = None if "matrix" in broken else experiment.matrix.get(TRACE_KEY)
    for value in () if axis is None else axis_values(axis):
        yield ("matrix", TRACE_KEY), str(value)


def _hash_files(draft: Draft) -> tuple[dict[str, str], list[Fault]]:
    """SHA-256 of each file that the experiment names, and a fault for each that is not there."""
    files: dict[str, str] = {}
    faults = []
    for loc, name in _trace_files(draft.experiment, draft.broken):
        try:
            files[name] = hashlib.sha256((draft.source.path.parent / name).read_bytes()).hexdigest()
        except OSError as error:
            faults.append(draft.fault(loc, f"{name} cannot be read: {error.strerror}"))
    return files, faults


def shown_path(path: Path) -> str:
    """A path as the user would write it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_text(path: Path) -> str:
    """The text of a file that a user wrote. Raises SpecError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", file=shown_path(path)) from error
    if len(raw) > MAX_BYTES:
        raise SpecError(f"is larger than {MAX_BYTES} bytes", file=shown_path(path))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SpecError("is no UTF-8 text", file=shown_path(path), line=line) from error
