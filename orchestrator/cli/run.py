# SPDX-License-Identifier: Apache-2.0
"""`ringbed run` and `ringbed resume`."""

from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Archive,
    ExecutorKind,
    Experiment,
    Hosts,
    Jobs,
    Json,
    Locked,
    NoInstall,
    Only,
    Quiet,
    Repeat,
    RunName,
    RunsDir,
    Seed,
    Set,
    SlurmConfig,
    Verbose,
    example,
)
from orchestrator.cli.progress import Reporter, reporter
from orchestrator.cli.report import Shown, write
from orchestrator.cli.status import summary
from orchestrator.errors import ExitCode, Interrupted, RingbedError
from orchestrator.run import directory, journal
from orchestrator.run.directory import RunDirectory

KeepGoing = Annotated[
    bool, typer.Option("--keep-going", "-k", help="Go on with the other trials when one fails.")
]


def run(
    experiment: Experiment,
    changes: Set = [],  # noqa: B006  typer reads the default, nothing changes it
    only: Only = [],  # noqa: B006
    repeat: Repeat = None,
    seed: Seed = None,
    jobs: Jobs = None,
    keep_going: KeepGoing = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify-deterministic",
            help="Repeat every trial on one core and on a busy host, and compare every byte.",
        ),
    ] = False,
    locked: Locked = False,
    archive: Archive = "",
    executor: ExecutorKind = "local",
    connect: Hosts = [],  # noqa: B006
    slurm_config: SlurmConfig = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _no_install: NoInstall = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Run an experiment and write its report."""
    from orchestrator.run import places, session

    selection = session.Selection(
        overrides=tuple(changes), only=tuple(only), repeat=repeat, seed=seed
    )
    settings = session.Settings(
        runs_dir=runs_dir,
        where=places.where(executor, slots=jobs, connect=connect, slurm=slurm_config),
        keep_going=keep_going,
        locked=locked,
        archive=archive,
        verify_deterministic=verify,
    )
    _carry_out(
        lambda watch: session.start(experiment, selection, settings, watch),
        silent=as_json or output.is_quiet(),
        as_json=as_json,
    )


def resume(
    wanted: RunName = "latest",
    jobs: Jobs = None,
    keep_going: KeepGoing = False,
    locked: Locked = False,
    archive: Archive = "",
    executor: ExecutorKind = "local",
    connect: Hosts = [],  # noqa: B006
    slurm_config: SlurmConfig = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Do what is left of a run that was interrupted, or whose trials failed."""
    from orchestrator.run import places, session

    found = directory.find(runs_dir, wanted)
    if found.state() == "finished":
        if not (found.path / "report.html").exists():
            write(found)
        _tell_finished(found, as_json=as_json)
        return
    settings = session.Settings(
        runs_dir=found.path.parent,
        where=places.where(executor, slots=jobs, connect=connect, slurm=slurm_config),
        keep_going=keep_going,
        locked=locked,
        archive=archive,
    )
    _carry_out(
        lambda watch: session.resume(found, settings, watch),
        silent=as_json or output.is_quiet(),
        as_json=as_json,
    )


class Watch:
    """Passes on what a run tells, and remembers which run it is."""

    def __init__(self, to: Reporter) -> None:
        self.run: RunDirectory | None = None
        self.created = self._created
        self.trials = to.trials
        self.trial_started = to.trial_started
        self.trial_ended = to.trial_ended

    def _created(self, run: RunDirectory) -> None:
        self.run = run


def _carry_out(work: Callable[[Watch], object], *, silent: bool, as_json: bool) -> None:
    """Do the work, write the report of whatever was measured, and only then fail."""
    failure: RingbedError | None = None
    shown: Shown | None = None
    with caches_in_use(), reporter(output.err, silent=silent) as to:
        watch = Watch(to)
        try:
            try:
                work(watch)
            except RingbedError as error:
                failure = error
            if watch.run is not None and journal.progress(watch.run.journal).outcomes:
                shown = write(watch.run)
        except Interrupted:
            _tell_interrupted(watch.run)
            raise
    if shown is not None:
        shown.print(as_json=as_json)
    if failure is not None:
        raise failure
    if shown is not None and shown.exit_code is not ExitCode.OK:
        raise typer.Exit(shown.exit_code)


def _tell_finished(run: RunDirectory, *, as_json: bool) -> None:
    entry = summary(run)
    if as_json:
        output.show_json(entry)
        return
    output.out.print(
        f"{run.name} is finished: all {entry['trials']} trials are done, nothing is left to do",
        soft_wrap=True,
    )
    if entry["report"]:
        output.out.print(f"report   {entry['report']}", soft_wrap=True)


def _tell_interrupted(run: RunDirectory | None) -> None:
    if run is None:
        return
    lines = [f"what was measured is kept in {run.path}"]
    if run.state() != "finished":
        lines.append(f"  ./ringbed resume {run.called}   does the rest")
    lines.append(f"  ./ringbed report {run.called}   writes the report of what there is")
    output.err.print("\n".join(lines), soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("run quickstart --repeat 5"))(run)
    app.command(epilog=example("resume latest"))(resume)
