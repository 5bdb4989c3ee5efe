# SPDX-License-Identifier: Apache-2.0
"""`ringbed compare A B`: two runs side by side."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, Json, RunsDir, example
from orchestrator.errors import ExitCode
from orchestrator.run import directory

if TYPE_CHECKING:
    from orchestrator.analysis import Row


def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="The run to compare with.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The run to judge.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="A smaller relative change counts as none; default: a share for each metric, or "
            "the runs' own noise where that is more.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also points that did not change, or that one run alone has."),
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Compare two runs point by point (exit code 1: B is slower somewhere; 4: nothing decided)."""
    from orchestrator import analysis
    from orchestrator.analysis.conditions import differences
    from orchestrator.report.terminal import VERDICT, comparisons

    results = [
        analysis.build_results(directory.find(runs_dir, wanted).path) for wanted in (before, after)
    ]
    names = dict.fromkeys(name for one in results for name in analysis.named_metrics(one.manifest))
    conditions = differences(results[0].manifest, results[1].manifest)
    rows = analysis.compare(
        results[0].points, results[1].points, metrics=tuple(names), threshold=threshold
    )
    verdicts = [row.verdict for row in rows]
    if as_json:
        told = {"a": results[0].run, "b": results[1].run, "differences": conditions}
        output.show_json({**told, "rows": [*map(asdict, rows)]})
    else:
        hidden = () if everything else (analysis.Verdict.SAME, analysis.Verdict.NOT_MEASURED)
        chosen = [row for row in rows if row.verdict not in hidden]
        output.out.print(f"A  {results[0].run}\nB  {results[1].run}", soft_wrap=True)
        for one in conditions:
            output.out.print(Text(f"differs  {one}", style="yellow"), soft_wrap=True)
        for part in comparisons(chosen):
            verdict = part.headers.index(VERDICT)
            cells: list[list[str | Text]] = [
                [*row[:verdict], output.styled(row[verdict]), *row[verdict + 1 :]]
                for row in part.rows
            ]
            output.out.print()
            output.show_table(part.title, part.headers, cells)
            for note in part.notes:
                output.out.print(f"  {note}", soft_wrap=True)
        _print_counts(rows, everything=everything)
    raise typer.Exit(_exit_code(verdicts))


def _print_counts(rows: "Sequence[Row]", *, everything: bool) -> None:
    from orchestrator.analysis import Verdict

    both = [row.verdict for row in rows if row.verdict is not Verdict.NOT_MEASURED]
    told = ", ".join(f"{both.count(one)} {one}" for one in Verdict if one in both)
    output.out.print(f"\n{len(both)} points in both: {told or 'none'}{_limits(rows)}")
    lonely = Counter(row.why for row in rows if row.verdict is Verdict.NOT_MEASURED)
    for where, count in sorted(lonely.items()):
        hint = "" if everything else " (--all shows them)"
        output.out.print(f"{count} points {where}{hint}")


def _limits(rows: "Sequence[Row]") -> str:
    """What counted as the same, which can differ from metric to metric."""
    limits = sorted({row.threshold for row in rows if row.threshold})
    if not limits:
        return ""
    told = " to ".join(f"{limit:.1%}" for limit in dict.fromkeys((limits[0], limits[-1])))
    return f" (same: within {told})"


def _exit_code(verdicts: Sequence[str]) -> ExitCode:
    from orchestrator.analysis import Verdict

    if Verdict.SLOWER in verdicts:
        return ExitCode.NOT_MET
    decided = {Verdict.SAME, Verdict.FASTER}
    if not verdicts or not decided & set(verdicts):
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK


def register(app: typer.Typer) -> None:
    app.command(epilog=example("compare 4f2a1c latest"))(compare)
