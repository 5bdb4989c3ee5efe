# SPDX-License-Identifier: Apache-2.0
"""`ringbed explain`: everything that a verdict of a nightly result rests on."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, Json, RunsDir

if TYPE_CHECKING:
    from orchestrator.analysis.cells import Cell
    from orchestrator.analysis.nightly import Nightly, Outcome
    from orchestrator.analysis.verdicts import Judgement

Result = Annotated[
    str,
    typer.Argument(
        metavar="NIGHTLY", help="A nightly result: its path, name, end of its name, or latest."
    ),
]


def explain(
    wanted: Result = "latest",
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="CELL...",
            help="Its name, a shell pattern, or words in it; none: list them all.",
        ),
    ] = [],  # noqa: B006  typer reads the default, nothing changes it
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Explain the verdict on a cell: samples, test, effect, noise and thresholds."""
    from orchestrator.analysis import cells, nightly
    from orchestrator.run import suites

    found = nightly.read(suites.find(runs_dir, wanted))
    if not words:
        _list(found, as_json=as_json)
        return
    key = cells.find_cell(" ".join(words), [one.key for one in found.outcomes])
    outcome = next(one for one in found.outcomes if one.key == key)
    if as_json:
        output.show_json(
            {
                "cell": asdict(key),
                "unit": outcome.unit,
                "direction": outcome.direction,
                "before": cells.to_json(outcome.before) if outcome.before else None,
                "after": cells.to_json(outcome.after) if outcome.after else None,
                "judgement": asdict(outcome.judgement),
                "bisect": _bisect(found, outcome),
            }
        )
        return
    _show(found, outcome)


def _list(found: "Nightly", *, as_json: bool) -> None:
    if as_json:
        output.show_json(
            [
                {"cell": one.key.name, "workload": one.key.workload} | asdict(one.judgement)
                for one in found.outcomes
            ]
        )
        return
    rows: list[list[str | Text]] = [
        [one.key.name, output.styled(str(one.judgement.verdict)), one.judgement.why]
        for one in found.outcomes
    ]
    output.show_table(found.about.name, ["cell", "verdict", "why"], rows)


def _show(found: "Nightly", outcome: "Outcome") -> None:
    from orchestrator.report import nightly as views

    key, judgement = outcome.key, outcome.judgement
    output.out.print(Text(key.full_name, style="bold"), soft_wrap=True)
    output.out.print(
        Text.assemble(output.styled(str(judgement.verdict)), f"  {judgement.why}"), soft_wrap=True
    )
    output.out.print()
    better = {"higher": "more is better", "lower": "less is better"}
    facts: list[tuple[str, str | Text]] = [
        ("commit", views.commit_of(found)),
        ("baseline", views.against(found)),
        ("clock", key.clock),
        (
            "metric",
            f"{key.metric} ({outcome.unit}), "
            f"{better.get(outcome.direction, 'neither way is better')}",
        ),
        *_statistics(judgement),
    ]
    output.show_facts(facts)
    for title, cell in (("baseline", outcome.before), ("now", outcome.after)):
        output.out.print()
        _samples(title, cell)
    if command := _bisect(found, outcome):
        output.out.print("\nthe commit that changed it:")
        output.out.print(f"  {command}", soft_wrap=True)


def _statistics(judgement: "Judgement") -> list[tuple[str, str | Text]]:
    """Test, effect, noise and thresholds, as far as there are any."""
    from orchestrator.report import formats

    facts: list[tuple[str, str | Text]] = [("test", str(judgement.test) or "none")]
    if judgement.ratio is not None:
        span = formats.ratio_span(judgement.ratio)
        told = f"{judgement.ratio.value - 1:+.3%}: ratio {formats.ratio(judgement.ratio.value)}"
        of = "range of the seeds" if judgement.p is None else "95 % interval"
        facts.append(("effect", f"{told}, {of} {span}" if span else told))
    if judgement.p is not None and judgement.adjusted is not None:
        told = f"{judgement.p:.3g}; {judgement.adjusted:.3g} among all cells that were tested"
        facts.append(("p", told))
    if judgement.noise is not None:
        facts.append(("noise floor", f"{judgement.noise:.2%}, of this metric on this host"))
    elif judgement.test:
        none = "none: nothing is random" if judgement.p is None else "not known: too few samples"
        facts.append(("noise floor", none))
    if judgement.practical_why:
        told = f"{judgement.threshold:.2%}"
        if judgement.threshold > judgement.practical:
            told += f": the noise floor; {judgement.practical:.2%} otherwise"
        else:
            told += f": {judgement.practical_why}"
        facts.append(("threshold", told))
    return facts


def _samples(title: str, cell: "Cell | None") -> None:
    from orchestrator.report import formats

    if cell is None:
        output.out.print(Text(f"{title}: no samples", style="bold"))
        return
    rows: list[list[str | Text]] = [
        [one.trial, str(one.repetition), str(one.seed), formats.significant(one.value, 6), ""]
        for one in cell.valid
    ]
    rows += [
        [one.trial, str(one.repetition), str(one.seed), formats.NOTHING, one.reason]
        for one in cell.invalid
    ]
    headers = ["trial", "repetition>", "seed>", f"{cell.unit}>", "void because"]
    width = len(headers) if cell.invalid else len(headers) - 1
    output.show_table(title, headers[:width], [row[:width] for row in rows])


def _bisect(found: "Nightly", outcome: "Outcome") -> str:
    """The command that finds the commit of a change on the virtual clock; empty for others."""
    from orchestrator import process
    from orchestrator.analysis import Verdict
    from orchestrator.analysis.verdicts import VIRTUAL

    changed = outcome.judgement.verdict in (Verdict.SLOWER, Verdict.FASTER)
    run = next((one.run for one in found.parts if one.name == outcome.key.experiment), "")
    if not (changed and run and found.baseline_commits and found.about.commit):
        return ""
    if outcome.key.clock != VIRTUAL or outcome.after is None or not outcome.after.valid[0].trial:
        return ""
    good, bad = found.baseline_commits[-1], found.about.commit
    if good == bad or found.about.dirty:
        return ""
    trial = f"{run}/{outcome.after.valid[0].trial}"
    words = ["./ringbed", "bisect", good[:10], bad[:10], "--trial", trial]
    return process.shell_form([*words, "--metric", outcome.key.metric])
