# SPDX-License-Identifier: Apache-2.0
"""`ringbed report`: tables, figures and the page from raw data; what a run shows at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, Json, Quiet, RunName, RunsDir, Verbose, example
from orchestrator.errors import ExitCode
from orchestrator.log import step
from orchestrator.run import directory
from orchestrator.run.directory import RunDirectory
from orchestrator.words import readable_times

if TYPE_CHECKING:
    from orchestrator.analysis import ClaimResult, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A run's results and its page, ready to be printed."""

    run: RunDirectory
    results: "Results"
    page: Path

    @property
    def exit_code(self) -> ExitCode:
        """NOT_MEASURED when no load trial is valid, NOT_MET when a claim was not reproduced,
        INCONCLUSIVE when one was left undecided."""
        from orchestrator.analysis import Outcome

        if self._void_reasons():
            return ExitCode.NOT_MEASURED
        if any(claim.outcome is Outcome.NOT_REPRODUCED for claim in self.results.claims):
            return ExitCode.NOT_MET
        if any(claim.undecided for claim in self.results.claims):
            return ExitCode.INCONCLUSIVE
        return ExitCode.OK

    def print(self, *, as_json: bool) -> None:
        if as_json:
            output.show_json(self._as_data())
            return
        from orchestrator.report.terminal import label_count, summary_notes, summary_rows

        headers, rows = summary_rows(self.results)
        title, labels = self._title(), label_count(headers)
        output.show_table(title, headers, [[*row] for row in rows], labels=labels)
        for note in summary_notes(self.results):
            output.out.print(Text(note, style="dim"), soft_wrap=True)
        self._print_claims()
        if reasons := self._void_reasons():
            output.out.print(Text("\nno load trial is valid:", style="bold yellow"))
            for reason in dict.fromkeys(map(readable_times, reasons[:3])):
                output.out.print(f"  {reason}", soft_wrap=True)
        output.out.print()
        output.out.print(f"results  {self.run.path / 'results.csv'} (and .parquet)", soft_wrap=True)
        output.out.print(f"report   {self.page}", soft_wrap=True)

    def _print_claims(self) -> None:
        if self.results.claims:
            show_claims("\nclaims", {self.run.name: self.results.claims})

    def _void_reasons(self) -> list[str]:
        """Why, when there are load trials and none of them may be used; else nothing."""
        load = [record for record in self.results.records if record.trial.kind == "measure"]
        if not load or any(not record.reason for record in load):
            return []
        return list(dict.fromkeys(record.reason for record in load))

    def _title(self) -> str:
        accelerator = self.results.manifest.get("accelerator", {}).get("kind", "")
        clocks = ", ".join(self.results.clocks)
        note = ""
        if "virtual" in self.results.clocks:
            note = ": a nanosecond is an instruction"
        elif accelerator == "tcg":
            note = " · emulated: shapes, not speeds"
        return f"{self.results.manifest.get('title', self.run.name)} · {clocks} clock{note}"

    def _as_data(self) -> dict[str, object]:
        from orchestrator.report import summary_rows
        from orchestrator.report.claims import as_data, judged

        headers, rows = summary_rows(self.results)
        names = [header.rstrip(">") for header in headers]
        return {
            "run": self.run.name,
            "path": str(self.run.path),
            "state": self.run.state(),
            "report": str(self.page),
            "results": str(self.run.path / "results.csv"),
            "summary": [dict(zip(names, row, strict=True)) for row in rows],
            "claims": as_data(judged(self.results))["claims"],
        }


def show_claims(title: str, claims: Mapping[str, Sequence["ClaimResult"]]) -> None:
    """Claims by experiment, each as a sentence with what is to be said of it below: as columns of
    a table, sentences would be a few words wide. Experiments are named where there are several."""
    from orchestrator.report.claims import measured

    lines: list[tuple[str | Text, str | Text]] = []
    for experiment, own in claims.items():
        for claim in own:
            verdict = output.styled(str(claim.outcome))
            verdict.stylize_before("not dim")
            facts = [
                ("experiment", experiment if len(claims) > 1 else ""),
                ("measured", measured(claim)),
                ("why", claim.reason),
                ("clock", claim.clock),
                ("source", claim.source),
            ]
            told = [(f"  {name}", Text(value)) for name, value in facts if value]
            lines += [("", "")] if lines else []
            lines += [(verdict, Text(claim.text)), *told]
    output.out.print(Text(title, style="bold"), soft_wrap=True)
    output.show_facts(lines)


def write(run: RunDirectory) -> Shown:
    """Tables, figures and page of a run, from its raw data."""
    with step("tables and figures"):
        from orchestrator.analysis import build_results
        from orchestrator.report import write_report

        results = build_results(run.path)
        return Shown(run=run, results=results, page=write_report(run.path, results))


def report(
    wanted: RunName = "latest",
    figure: Annotated[
        str, typer.Option("--figure", metavar="NAME", help="Only this figure (svg, pdf, png).")
    ] = "",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Write the report of a run again, from its raw data."""
    run = directory.find(runs_dir, wanted)
    if figure:
        from orchestrator.analysis import build_results
        from orchestrator.report import write_figure

        paths = [str(path) for path in write_figure(run.path, build_results(run.path), figure)]
        if as_json:
            output.show_json(paths)
        for path in () if as_json else paths:
            output.out.print(path, soft_wrap=True)
        return
    shown = write(run)
    shown.print(as_json=as_json)
    if shown.exit_code is not ExitCode.OK:
        raise typer.Exit(shown.exit_code)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("report latest"))(report)
