# SPDX-License-Identifier: Apache-2.0
"""`ringbed verify`: run the experiments that make claims, and judge the claims."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import paths, process
from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Archive,
    ExecutorKind,
    Hosts,
    Jobs,
    Json,
    Locked,
    Only,
    Quiet,
    Repeat,
    RunsDir,
    Seed,
    Set,
    SlurmConfig,
    Verbose,
    example,
)
from orchestrator.cli.progress import Reporter, reporter
from orchestrator.cli.report import Shown, show_claims, write
from orchestrator.cli.run import KeepGoing, Watch
from orchestrator.errors import ExitCode, RingbedError, UsageError
from orchestrator.run import directory, journal

if TYPE_CHECKING:
    from orchestrator.report.claims import Judged
    from orchestrator.run.session import Selection, Settings

# What is said first when experiments end differently: that one could not be measured outweighs a
# claim that was not reproduced, and that outweighs one that was left undecided.
_GRAVITY = (ExitCode.NOT_MEASURED, ExitCode.NOT_MET, ExitCode.INCONCLUSIVE, ExitCode.OK)


def verify(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Experiments; without any, all in experiments/ with claims."
        ),
    ] = [],  # noqa: B006  typer reads the default, nothing changes it
    runs: Annotated[
        list[str],
        typer.Option(
            "--run", metavar="RUN", help="Judge the claims of this run, run nothing. Repeatable."
        ),
    ] = [],  # noqa: B006
    changes: Set = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    repeat: Repeat = None,
    seed: Seed = None,
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
    """Run the experiments that make claims, and say which claims were reproduced."""
    from orchestrator.run.places import where
    from orchestrator.run.session import Selection, Settings

    if runs and (names or changes or only or repeat or seed is not None):
        raise UsageError(
            "--run judges runs as they are", hint="leave out experiments, --set, --only, --repeat"
        )
    selection = Selection(overrides=tuple(changes), only=tuple(only), repeat=repeat, seed=seed)
    settings = Settings(
        runs_dir=runs_dir,
        where=where(executor, slots=jobs, connect=connect, slurm=slurm_config),
        keep_going=keep_going,
        locked=locked,
        archive=archive,
    )
    with caches_in_use(), reporter(output.err, silent=as_json or output.is_quiet()) as to:
        if runs:
            outcomes = [_outcome(write(directory.find(runs_dir, wanted))) for wanted in runs]
        else:
            chosen = _with_claims(names, selection)
            outcomes = [_measure(path, selection, settings, to) for path in chosen]
    code = _show(
        [judged for judged, _ in outcomes], [one for _, one in outcomes], runs_dir, as_json
    )
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _with_claims(names: Sequence[str], selection: "Selection") -> list[Path]:
    """The files of the experiments to run. All are read first: a mistake in the last one is told
    before the first one runs."""
    from orchestrator.spec import find_experiment, load_experiment
    from orchestrator.spec.loading import FILE_NAME

    folder = paths.project("experiments")
    found = [find_experiment(name) for name in names] or sorted(folder.glob(f"*/{FILE_NAME}"))
    chosen = []
    for path in found:
        if load_experiment(path, selection.overrides if names else ()).claims:
            chosen.append(path)
        elif names:
            raise UsageError(f"{path} makes no claims", hint="claims are keys of the experiment")
    if not chosen:
        raise UsageError("no experiment makes claims", hint=f"they are looked for in {folder}")
    for path in chosen:
        load_experiment(path, selection.overrides)
    return chosen


def _measure(
    path: Path, selection: "Selection", settings: "Settings", to: Reporter
) -> "tuple[Judged, ExitCode]":
    """Run an experiment and judge its claims, also when some of its trials failed."""
    from orchestrator.report.claims import Judged
    from orchestrator.run import session
    from orchestrator.spec import load_experiment

    watch, failure = Watch(to), ""
    try:
        session.start(str(path), selection, settings, watch)
    except UsageError:
        raise
    except RingbedError as error:
        output.show_error(error)
        failure = error.message
    if watch.run is not None and journal.progress(watch.run.journal).outcomes:
        return _outcome(write(watch.run), failure)
    name = load_experiment(path, selection.overrides).name
    lost = Judged(experiment=name, run="", clock="", accelerator="", claims=(), failure=failure)
    return lost, ExitCode.NOT_MEASURED


def _outcome(shown: Shown, failure: str = "") -> "tuple[Judged, ExitCode]":
    from orchestrator.report.claims import judged

    code = ExitCode.NOT_MEASURED if failure else shown.exit_code
    return judged(shown.results, failure), code


def _show(
    all_judged: "Sequence[Judged]", codes: Sequence[ExitCode], runs_dir: Path, as_json: bool
) -> ExitCode:
    """Print all claims, and keep them beside the runs."""
    from orchestrator.report.claims import as_data, tally, write_summary
    from orchestrator.run import manifest

    code = min(codes, key=_GRAVITY.index)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    place = runs_dir / f"{stamp}-verify"
    place.mkdir(parents=True, exist_ok=True)
    page = write_summary(place, all_judged, process.shell_form(manifest.command_line()))
    if as_json:
        output.show_json(
            {
                "summary": tally(all_judged),
                "page": str(page),
                "exit_code": int(code),
                "runs": [as_data(one) for one in all_judged],
            }
        )
        return code
    if claims := {_heading(one): one.claims for one in all_judged if one.claims}:
        show_claims("claims", claims)
    for one in all_judged:
        if one.failure:
            line = f"{one.experiment}: not all was measured: {one.failure}"
            output.out.print(line, soft_wrap=True, markup=False)
    output.out.print()
    output.out.print(tally(all_judged))
    output.out.print(f"summary  {page} (and .md, .json, .csv)", soft_wrap=True)
    return code


def _heading(one: "Judged") -> str:
    """The experiment, and whether its times may be believed; the run tells two of them apart."""
    emulated = one.clock == "wall" and one.accelerator == "tcg"
    return f"{one.experiment} ({one.run[-6:]}{', emulated' if emulated else ''})"


def register(app: typer.Typer) -> None:
    app.command(epilog=example("verify quickstart --repeat 5"))(verify)
