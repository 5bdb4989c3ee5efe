# SPDX-License-Identifier: Apache-2.0
"""A run from beginning to end, and the rest of a run that was cut off."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from orchestrator.errors import InfrastructureError, Interrupted, UsageError
from orchestrator.host import durable, probe
from orchestrator.host.accelerator import Accelerator, known_accelerator, probe_accelerator
from orchestrator.log import JsonLines, sink, step
from orchestrator.run import (
    determinism,
    directory,
    estimate,
    journal,
    manifest,
    stored,
    supplies,
)
from orchestrator.run.compose import Drivers
from orchestrator.run.directory import RunDirectory
from orchestrator.run.execute import Observer, Tally, TrialLoop
from orchestrator.run.executor import Executor, MakeBenches, Site
from orchestrator.run.journal import Journal
from orchestrator.run.places import Where, choose
from orchestrator.run.plan import Plan, Trial, make_plan
from orchestrator.run.supplies import Outlook, Supplies
from orchestrator.spec import Experiment, find_experiment, load_experiment
from orchestrator.spec.loading import is_clock_open
from orchestrator.spec.model import Clock
from orchestrator.spec.topology import Topology
from orchestrator.vm.sweep import sweep_stale
from orchestrator.words import count_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of an experiment is run. Stored with the run, so that `resume` makes the same plan."""

    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    repeat: int | None = None
    seed: int | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(
            overrides=tuple(data["overrides"]),
            only=tuple(data["only"]),
            repeat=data["repeat"],
            seed=data["seed"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How it is run, and where. dataplane: another copy of dataplane/ to compile."""

    runs_dir: Path
    where: Where = field(default_factory=Where)
    keep_going: bool = False
    locked: bool = False
    archive: str = ""
    verify_deterministic: bool = False
    dataplane: Path | None = None
    command: tuple[str, ...] = field(default_factory=lambda: tuple(manifest.command_line()))


class RunFailed(InfrastructureError):
    """Some trials failed; the first one's error says why. What was measured is in the run."""

    def __init__(self, tally: Tally, run: RunDirectory) -> None:
        first = tally.first_failure
        details = "" if first is None else first.details
        if tally.failed > 1:
            listed = "\n".join(f"  {failure}" for failure in tally.failures[:10])
            details = f"{details}\n{count_of(tally.failed, 'trial')} failed:\n{listed}".strip()
        super().__init__(
            tally.failures[0],
            details=details,
            hint=f"./ringbed resume {run.called} does what is left; its logs are in {run.path}",
        )
        self.tally = tally
        self.run = run


class Watcher(Observer, Protocol):
    """An observer that is also told which run it is, and how many trials there are."""

    def created(self, run: RunDirectory) -> None: ...

    def trials(self, total: int, seconds_each: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An experiment with all that it needs. notice: why it has the clock it has, if ringbed chose
    and the reader might expect another."""

    experiment: Experiment
    supplies: Supplies
    plan: Plan
    notice: str = ""


def prepare(name: str, selection: Selection, settings: Settings) -> Prepared:
    """Read an experiment, supply what it needs, and plan it. Starts no guest."""
    path = find_experiment(name)
    known = known_accelerator()
    if known is None:
        # Mistakes of the file are told before anything is written or booted.
        _plan(load_experiment(path, selection.overrides), selection, {})
        known = probe_accelerator()
    guess = _clock_of(known, settings)
    prepared = _prepare(path, selection, settings, guess)
    # The guest's own kernel is a harder proof than what the guess was made by.
    proven = _clock_of(prepared.supplies.accelerator, settings)
    if proven != guess:
        prepared = _prepare(path, selection, settings, proven)
    if prepared.plan.clock == "virtual" and is_clock_open(path, selection.overrides):
        reason = prepared.supplies.accelerator.reason
        notice = (
            f"measuring on the virtual clock, since guests are emulated here: {reason}; "
            "--set clock=wall measures the host's time all the same"
        )
        return replace(prepared, notice=notice)
    return prepared


def _prepare(path: Path, selection: Selection, settings: Settings, clock: Clock) -> Prepared:
    experiment = load_experiment(path, selection.overrides, clock=clock)
    # A plan without its inputs finds mistakes of the file, and a place that cannot be had, before
    # anything is built.
    outline = _plan(experiment, selection, {})
    choose(settings.where, clock).check_plan(outline)
    found = _gather(experiment, settings)
    plan = _plan(experiment, selection, found.inputs)
    return Prepared(experiment=experiment, supplies=found, plan=plan)


def _gather(experiment: Experiment, settings: Settings) -> Supplies:
    return supplies.gather(
        experiment.image,
        experiment.clock,
        locked=settings.locked,
        archive=settings.archive,
        dataplane=settings.dataplane,
    )


def clock_here() -> Clock:
    """The clock that guests of this host are measured by, where an experiment leaves it open."""
    return "wall" if (known_accelerator() or probe_accelerator()).kind == "kvm" else "virtual"


def _clock_of(accelerator: Accelerator, settings: Settings) -> Clock:
    """The clock of an experiment that leaves the choice open."""
    return "wall" if accelerator.kind == "kvm" or settings.where.is_remote else "virtual"


def foresee(
    name: str, selection: Selection, settings: Settings
) -> tuple[Experiment, Outlook, Plan]:
    """Read an experiment and plan it from declarations and lock files alone."""
    known = known_accelerator()
    clock: Clock = "wall" if known is None else _clock_of(known, settings)
    experiment = load_experiment(find_experiment(name), selection.overrides, clock=clock)
    _plan(experiment, selection, {})
    outlook = supplies.foresee(experiment.image, experiment.clock, locked=settings.locked)
    return experiment, outlook, _plan(experiment, selection, outlook.inputs)


def start(name: str, selection: Selection, settings: Settings, watcher: Watcher) -> RunDirectory:
    """Run an experiment. Returns its directory when every trial went well.

    Raises RunFailed when one did not, and Interrupted; then too the directory holds what was
    measured.
    """
    sweep()
    prepared = prepare(name, selection, settings)
    experiment, found, plan = prepared.experiment, prepared.supplies, prepared.plan
    executor = executor_for(plan, settings)
    warnings = [prepared.notice] if prepared.notice else []
    warnings += _check_host(found, plan, executor, settings)
    with directory.create(settings.runs_dir, experiment.name) as run, _logged(run):
        watcher.created(run)
        _warn(warnings)
        # The journal comes last: what is in it stands on files that are on disk.
        _keep_inputs(run, experiment, plan, selection, settings)
        written = manifest.begin(run, experiment, plan, found, settings.command, executor.slots)
        with Journal(run.journal) as written_journal:
            written_journal.append("run-start")
            work = _Work(run, plan, found, settings, written, written_journal, watcher)
            work.do(executor, plan.trials)
        if settings.verify_deterministic:
            again = determinism.REPETITIONS * len(plan.trials)
            watcher.trials(again, estimate.trials_s(plan, 1) / len(plan.trials))
            determinism.verify(run, plan, found, watcher)
    return run


def resume(run: RunDirectory, settings: Settings, watcher: Watcher) -> RunDirectory:
    """Do what is left of a run: trials that never started, were cut off, or failed."""
    sweep()
    with run.locked(), _logged(run):
        written = manifest.Manifest(run, stored.read_manifest(run))
        done = journal.progress(run.journal).done
        again = reopen(run, settings)
        found, plan = again.supplies, again.plan
        left = [trial for trial in plan.trials if trial.id not in done]
        executor = executor_for(plan, settings)
        warnings = _check_host(found, plan, executor, settings)
        watcher.created(run)
        _warn(warnings)
        written.resume(settings.command)
        with Journal(run.journal) as written_journal:
            written_journal.append("run-resume")
            work = _Work(run, plan, found, settings, written, written_journal, watcher)
            work.do(executor, left)
    return run


def reopen(run: RunDirectory, settings: Settings, cannot: str = "cannot go on") -> Prepared:
    """A run's experiment as it was planned, with all that it needs. Raises UsageError when the code
    at hand, or what it builds, is not what the run began with; `cannot` says what that prevents."""
    asked = stored.read_plan(run)
    selection = Selection.from_json(asked["selection"])
    experiment = load_experiment(run.experiment, selection.overrides, clock=asked["clock"])
    found = _gather(experiment, settings)
    plan = _plan(experiment, selection, found.inputs)
    _refuse_other_inputs(run, asked, plan, cannot)
    return Prepared(experiment=experiment, supplies=found, plan=plan)


def sweep() -> None:
    """Remove what killed runs left behind, and say what that was."""
    for sentence in sweep_stale():
        logger.warning("%s", sentence)


def _plan(experiment: Experiment, selection: Selection, inputs: dict[str, str]) -> Plan:
    for name in experiment.source.files:
        if RunDirectory.is_taken(name):
            raise UsageError(
                f"{name}: runs keep a copy of this file, and a file of their own has that name",
                hint="give it another name, such as arrivals.trace",
            )
    return make_plan(
        experiment,
        Drivers(),
        inputs=inputs,
        only=selection.only,
        repeat=selection.repeat,
        seed=selection.seed,
    )


def executor_for(plan: Plan, settings: Settings) -> Executor:
    """Where the trials run; how many at a time, if the user left that open."""
    where = settings.where
    if where.slots is None and where.kind == "local" and plan.clock == "virtual":
        where = replace(where, slots=supplies.most_slots(probe.room(), plan.demand))
    return choose(where, plan.clock)


def _check_host(found: Supplies, plan: Plan, executor: Executor, settings: Settings) -> list[str]:
    """What the user should know of a place that can take the run; an error when it cannot."""
    if settings.verify_deterministic and plan.clock != "virtual":
        raise UsageError(
            "--verify-deterministic: on the wall clock no two runs are the same",
            hint="--set clock=virtual",
        )
    warnings = [*executor.check_plan(plan), *executor.check_host(plan, found.host)]
    hint = "./ringbed clean --runs removes runs that did not finish; or use --runs-dir"
    supplies.check_disk(settings.runs_dir, who="a run", hint=hint)
    return [*plan.warnings, *warnings]


def _warn(warnings: Sequence[str]) -> None:
    """Said when the run's log is there to keep it, too."""
    for warning in warnings:
        logger.warning("%s", warning)


def _keep_inputs(
    run: RunDirectory,
    experiment: Experiment,
    plan: Plan,
    selection: Selection,
    settings: Settings,
) -> None:
    """Copy what the run was asked, so that `resume` needs nothing but its directory."""
    source = experiment.source.path
    shutil.copyfile(source, run.experiment)
    for name in experiment.source.files:
        target = run.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, target)
    # Whoever finds the plan finds what it was made of.
    durable.sync_tree(run.path)
    data = {**plan.to_json(), "selection": asdict(selection), "command": settings.command}
    durable.write_json(run.plan, data)


def _refuse_other_inputs(run: RunDirectory, asked: dict[str, Any], plan: Plan, cannot: str) -> None:
    before, now = asked["inputs"], plan.inputs
    changed = sorted(name for name in before if before[name] != now.get(name))
    if changed:
        raise UsageError(
            f"{run.name} {cannot}: since it began, {', '.join(changed)} changed",
            details="what is measured now would not be comparable with its trials",
            hint="go back to the state it began with, or start a new run",
        )


class _Work:
    """The trials of a run, from the first guest to the last line of the journal."""

    def __init__(
        self,
        run: RunDirectory,
        plan: Plan,
        found: Supplies,
        settings: Settings,
        written: manifest.Manifest,
        written_journal: Journal,
        watcher: Watcher,
    ) -> None:
        self._run = run
        self._plan = plan
        self._supplies = found
        self._settings = settings
        self._manifest = written
        self._journal = written_journal
        self._watcher = watcher
        self._loop = TrialLoop(run, written_journal, watcher, keep_going=settings.keep_going)

    def do(self, executor: Executor, trials: Sequence[Trial]) -> None:
        """Take the trials and end the run: in the journal, in the manifest, and by its error."""
        whole = estimate.trials_s(self._plan, executor.slots)
        self._watcher.trials(len(trials), whole / len(self._plan.trials))
        outcome = "failed"
        try:
            site = Site(
                supplies=self._supplies,
                directory=self._run.path,
                came_up=self._manifest.add_bench,
            )
            with executor.open(site) as make_benches:
                for topology in self._plan.topologies:
                    mine = [trial for trial in trials if trial.topology == topology.id]
                    if mine and not self._is_over():
                        self._on_topology(make_benches, executor.slots, topology, mine)
            outcome = "failed" if self._loop.tally.failed else "ok"
        except Interrupted:
            outcome = "interrupted"
            raise
        finally:
            self._journal.append("run-end", outcome=outcome)
            self._manifest.end(outcome)
        if self._loop.tally.failed:
            raise RunFailed(self._loop.tally, self._run)

    def _is_over(self) -> bool:
        return bool(self._loop.tally.failed) and not self._settings.keep_going

    def _on_topology(
        self, make: MakeBenches, slots: int, topology: Topology, trials: Sequence[Trial]
    ) -> None:
        traces = {
            trial.workload.trace.file: (self._run.path / trial.workload.trace.file).read_text()
            for trial in trials
            if trial.workload.trace is not None
        }
        benches = make(topology, min(slots, len(trials)), traces)
        with ExitStack() as stack:
            for bench in benches:
                stack.callback(bench.close)
            for bench in benches:
                bench.up()
            with step(count_of(len(trials), "trial")):
                self._loop.run_all(trials, benches)


@contextmanager
def _logged(run: RunDirectory) -> Iterator[None]:
    """Everything that happens, into the run's own log."""
    handler = JsonLines(run.log)
    handler.setLevel(logging.INFO)
    package = logging.getLogger("orchestrator")
    package.addHandler(handler)
    try:
        with sink(handler.step):
            yield
    finally:
        package.removeHandler(handler)
        handler.close()
