# SPDX-License-Identifier: Apache-2.0
"""Proves that trials on the virtual clock give the same bytes under other conditions.

After a run each of its trials is carried out again, from the last to the first: once bound to a
single core, and once while stress-ng keeps every core busy. Every byte that a trial left must be
the same. What differed is kept below `determinism/` in the run; determinism.json has the verdicts.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator import process
from orchestrator.errors import ExitCode, RingbedError
from orchestrator.host import durable
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.host.trees import ensure_tree
from orchestrator.log import step
from orchestrator.run.compose import label
from orchestrator.run.directory import RunDirectory
from orchestrator.run.execute import Observer
from orchestrator.run.plan import Plan, Trial
from orchestrator.run.sealedbed import SealedTestbed
from orchestrator.run.supplies import Supplies
from orchestrator.words import count_of

FOLDER = "determinism"
FILE = "determinism.json"
REPETITIONS = 2
# Written by ringbed itself: when a trial ran is not what it measured.
_NOT_MEASURED = frozenset({"trial.json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first byte in which a file differs; offset -1 when only one of the two runs has it."""

    file: str
    offset: int

    def __str__(self) -> str:
        where = f"byte {self.offset}" if self.offset >= 0 else "in one of the two only"
        return f"{self.file}, {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A trial that was repeated under a condition; no differences: the same bytes."""

    trial: str
    label: str
    condition: str
    differences: tuple[Difference, ...]


class NotDeterministic(RingbedError):
    """Some trial gave other bytes than before."""

    exit_code = ExitCode.NOT_MET


@contextmanager
def one_core() -> Iterator[None]:
    """Bind this thread, and what it starts, to the last core it may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def busy_host(log: Path) -> Iterator[None]:
    """Keep every core busy with work of the kinds that stress-ng calls cpu, vm and switch."""
    tree = ensure_tree("stress")
    each = str(os.cpu_count() or 1)
    argv = ["stress-ng", "--quiet", "--cpu", each, "--switch", each, "--vm", "1"]
    with process.background(tree.command([*argv, "--vm-bytes", "64M"]), log=log, bound=True):
        yield


def verify(run: RunDirectory, plan: Plan, supplies: Supplies, observer: Observer) -> None:
    """Repeat all trials of a run that has just ended well: each as often as REPETITIONS says.
    Raises NotDeterministic, MachineError or StepError."""
    conditions: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
        "one core": one_core,
        "busy host": lambda: busy_host(run.path / FOLDER / "stress.log"),
    }
    verdicts: list[Verdict] = []
    assert len(conditions) == REPETITIONS
    with OwnedDirectory(new_token()) as state, ExitStack() as stack:
        benches = {}
        for name, condition in conditions.items():
            with step(f"{count_of(len(plan.trials), 'trial')} again: {name}"), condition():
                for trial in reversed(plan.trials):
                    if trial.topology not in benches:
                        logs = run.path / FOLDER / "machines"
                        bench = make_bench(run, plan, supplies, trial, state, logs)
                        stack.callback(bench.close)
                        benches[trial.topology] = bench
                    what = f"{label(trial)}, {name}"
                    observer.trial_started(what)
                    begin = time.monotonic()
                    verdict = _repeat(run, benches[trial.topology], trial, name)
                    verdicts.append(verdict)
                    outcome = "differs" if verdict.differences else "same"
                    observer.trial_ended(what, outcome, "", time.monotonic() - begin)
    durable.write_json(run.path / FILE, {"schema": 1, "verdicts": [asdict(v) for v in verdicts]})
    shutil.rmtree(run.path / FOLDER / "machines", ignore_errors=True)
    _judge(run, verdicts)


def make_bench(
    run: RunDirectory,
    plan: Plan,
    supplies: Supplies,
    trial: Trial,
    state: OwnedDirectory,
    directory: Path,
) -> SealedTestbed:
    """What carries out a trial of a run again. directory: for what its guest says."""
    traces = {
        one.workload.trace.file: (run.path / one.workload.trace.file).read_text(encoding="utf-8")
        for one in plan.trials
        if one.workload.trace is not None
    }
    topology = plan.topology(trial.topology)
    bench = SealedTestbed(topology, supplies, directory, state=state, traces=traces)
    bench.up()
    return bench


def _repeat(run: RunDirectory, bench: SealedTestbed, trial: Trial, condition: str) -> Verdict:
    into = run.path / FOLDER / condition.replace(" ", "-") / trial.id
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    bench.execute(trial, into)
    found = differences(run.trial(trial.id), into)
    if not found:
        shutil.rmtree(into)
    return Verdict(trial=trial.id, label=label(trial), condition=condition, differences=found)


def differences(first: Path, second: Path) -> tuple[Difference, ...]:
    """The files of two trials that are not the same, byte for byte."""
    names = sorted((_files(first) | _files(second)) - _NOT_MEASURED)
    found = []
    for name in names:
        offset = _first_difference(first / name, second / name)
        if offset is not None:
            found.append(Difference(file=name, offset=offset))
    return tuple(found)


def _files(directory: Path) -> set[str]:
    return {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    }


def _first_difference(first: Path, second: Path) -> int | None:
    if not first.exists() or not second.exists():
        return -1
    one, other = first.read_bytes(), second.read_bytes()
    if one == other:
        return None
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _judge(run: RunDirectory, verdicts: Sequence[Verdict]) -> None:
    bad = [verdict for verdict in verdicts if verdict.differences]
    if not bad:
        return
    lines = [
        f"{verdict.label}, {verdict.condition}: {one}"
        for verdict in bad
        for one in verdict.differences
    ]
    raise NotDeterministic(
        f"{len(bad)} of {len(verdicts)} repetitions gave other bytes",
        details="\n".join(lines[:30]),
        hint=f"compare {run.path / FOLDER} with {run.trials}",
    )
