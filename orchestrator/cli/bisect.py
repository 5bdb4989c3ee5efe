# SPDX-License-Identifier: Apache-2.0
"""`ringbed bisect`: the commit with which a metric of a trial changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator import paths
from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Json,
    Only,
    Quiet,
    Repeat,
    RunsDir,
    Seed,
    Set,
    Verbose,
    example,
)
from orchestrator.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from orchestrator.run.bisect import Found, Tried
    from orchestrator.run.retrial import Retrial
    from orchestrator.run.session import Selection


def bisect(
    good: Annotated[str, typer.Argument(metavar="GOOD", help="The older commit.")],
    bad: Annotated[str, typer.Argument(metavar="BAD", help="The commit that changed.")],
    trial: Annotated[
        str,
        typer.Option(
            "--trial",
            metavar="T",
            help="RUN/TRIAL, TRIAL of any run, or an experiment (then with --only and --set).",
        ),
    ],
    metric: Annotated[str, typer.Option("--metric", metavar="M", help="The metric to look at.")],
    changes: Set = [],  # noqa: B006  typer reads the default, nothing changes it
    only: Only = [],  # noqa: B006
    repeat: Repeat = None,
    seed: Seed = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="A smaller difference of GOOD and BAD counts as none; default: the metric's.",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Find the first commit whose trial is nearer to BAD's than to GOOD's."""
    from orchestrator.run import session

    selection = session.Selection(
        overrides=tuple(changes), only=tuple(only), repeat=repeat, seed=seed
    )
    silent = as_json or output.is_quiet()
    asked = _retrial(trial, selection, metric, runs_dir)
    if not silent:
        output.err.print(str(asked), soft_wrap=True)
    session.sweep()
    found = _search(good, bad, asked, _limit(asked, threshold), silent=silent)
    _show(found, metric, as_json=as_json)
    if found.first_bad is None:
        raise typer.Exit(ExitCode.INCONCLUSIVE)


def _limit(asked: "Retrial", threshold: float | None) -> float:
    """The difference that counts as none. Raises UsageError for a metric that nobody knows."""
    from orchestrator.analysis.thresholds import threshold_for

    if asked.experiment.metric_definition(asked.metric) is None:
        hint = "./ringbed schema --docs lists them"
        raise UsageError(f"there is no metric {asked.metric}", hint=hint)
    clock = asked.experiment.clock
    if clock != "virtual":
        output.warn("on the wall clock every commit is judged by values that carry noise")
    return threshold_for(asked.metric, clock).share if threshold is None else threshold


def _search(good: str, bad: str, asked: "Retrial", limit: float, *, silent: bool) -> "Found":
    from orchestrator.host.owned import OwnedDirectory, new_token
    from orchestrator.run import bisect as bisection
    from orchestrator.run import retrial

    with caches_in_use(), OwnedDirectory(new_token()) as place:
        return bisection.bisect(
            good,
            bad,
            retrial.Bench(asked, place.path),
            place=place.path,
            threshold=limit,
            repository=paths.PROJECT,
            on_tried=lambda one: _tell(one, silent=silent),
        )


def _retrial(trial: str, selection: "Selection", metric: str, runs_dir: Path) -> "Retrial":
    from orchestrator.run import retrial

    found = retrial.from_run(runs_dir, trial, metric)
    if found is None:
        return retrial.from_experiment(trial, selection, metric)
    if selection.overrides or selection.only or selection.repeat or selection.seed is not None:
        raise UsageError(
            f"{trial} is one trial: --set, --only, --repeat and --seed do not go with it",
            hint="name its experiment instead",
        )
    return found


def _tell(one: "Tried", *, silent: bool) -> None:
    if not silent:
        value = one.why if one.value is None else f"{one.value:g}"
        output.err.print(
            Text.assemble(output.styled(one.kind), f"  {one.commit.short}  {value}"),
            soft_wrap=True,
        )


def _show(found: "Found", metric: str, *, as_json: bool) -> None:
    if as_json:
        output.show_json(
            {
                "metric": metric,
                "first_bad": found.first_bad.hash if found.first_bad else None,
                "candidates": [one.hash for one in found.candidates],
                "tried": [
                    {
                        "commit": one.commit.hash,
                        "subject": one.commit.subject,
                        "verdict": one.kind,
                        "value": one.value,
                        "why": one.why,
                    }
                    for one in found.tried
                ],
            }
        )
        return
    rows: list[list[str | Text]] = [
        [
            one.commit.short,
            "–" if one.value is None else f"{one.value:.10g}",
            output.styled(one.kind),
            one.why or one.commit.subject,
        ]
        for one in found.tried
    ]
    output.show_table("", ["commit", f"{metric}>", "verdict", "subject"], rows)
    output.out.print()
    if found.first_bad is not None:
        told = f"{found.first_bad.hash}  {found.first_bad.subject}"
        output.out.print(Text.assemble(("first bad commit  ", "bold"), told), soft_wrap=True)
        return
    output.out.print(Text("skipped commits hide it; it is one of these:", style="bold yellow"))
    for one in found.candidates:
        output.out.print(f"  {one.short}  {one.subject}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    text = "bisect v1 HEAD --trial RUN/TRIAL --metric latency_p50"
    app.command(epilog=example(text))(bisect)
