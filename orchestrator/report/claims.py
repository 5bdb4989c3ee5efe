# SPDX-License-Identifier: Apache-2.0
"""Claims as a table: rows of text, claims.json and claims.csv of a run, and one page over the
claims of several runs."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from orchestrator import __version__
from orchestrator.analysis import ClaimResult, Estimate, Outcome, Results
from orchestrator.host import durable
from orchestrator.report import formats, provenance
from orchestrator.words import count_of

HERE = Path(__file__).parent
COLUMNS = ("verdict", "claim", "measured", "clock", "why", "source")
_CSV = ("run", "experiment", "claim", "expression", "source", "clock", "accelerator", "verdict")
_CSV_MEASURED = ("reference", "value", "low", "high", "unit", "repetitions", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The claims of one experiment. failure: why it was not measured, or not all of it."""

    experiment: str
    run: str
    clock: str
    accelerator: str
    claims: tuple[ClaimResult, ...]
    failure: str = ""


def judged(results: Results, failure: str = "") -> Judged:
    """The claims of a run."""
    return Judged(
        experiment=str(results.manifest.get("name", "")),
        run=results.run,
        clock="/".join(results.clocks),
        accelerator=provenance.accelerator_kind(results.manifest),
        claims=tuple(results.claims),
        failure=failure,
    )


def claim_rows(claims: Sequence[ClaimResult]) -> tuple[list[str], list[list[str]]]:
    """Headers and one row of text per claim."""
    rows = [
        [str(one.outcome), one.text, measured(one), one.clock, one.reason, one.source]
        for one in claims
    ]
    return list(COLUMNS), rows


def measured(claim: ClaimResult) -> str:
    """What a claim speaks of: each median with its interval, a line each."""
    lines = []
    for one in claim.measured:
        span = formats.interval(one.estimate, one.unit)
        value = formats.estimate(one.estimate, one.unit)
        lines.append(f"{one.reference} = {value}" + (f" [{span}]" if span else ""))
    return "\n".join(lines)


def tally(all_judged: Sequence[Judged]) -> str:
    """How many claims there are of each verdict, in words."""
    counts = Counter(claim.outcome for one in all_judged for claim in one.claims)
    told = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]]
    return f"{count_of(counts.total(), 'claim')}: {', '.join(told)}" if told else "no claims"


def write_claims(run_dir: Path, results: Results) -> None:
    """claims.json and claims.csv beside the tables of a run; nothing for a run without claims."""
    if results.claims:
        one = judged(results)
        durable.write_json(run_dir / "claims.json", as_data(one))
        durable.write_text(run_dir / "claims.csv", as_csv([one]))


def as_data(one: Judged) -> dict[str, Any]:
    """Plain data for JSON."""
    return {
        "experiment": one.experiment,
        "run": one.run,
        "clock": one.clock,
        "accelerator": one.accelerator,
        "failure": one.failure,
        "claims": [
            {
                "claim": claim.text,
                "expression": claim.expression,
                "source": claim.source,
                "clock": claim.clock,
                "verdict": str(claim.outcome),
                "undecided": claim.undecided,
                "why": claim.reason,
                "holds_in_resamples": _number(claim.holds),
                "measured": [
                    {"reference": part.reference, "unit": part.unit, **_estimate(part.estimate)}
                    for part in claim.measured
                ],
            }
            for claim in one.claims
        ],
    }


def as_csv(all_judged: Sequence[Judged]) -> str:
    """A row for each metric that a claim speaks of, and one for a claim that was not measured."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*_CSV, *_CSV_MEASURED))
    for one in all_judged:
        for claim in one.claims:
            start = [one.run, one.experiment, claim.text, claim.expression, claim.source]
            start += [claim.clock, one.accelerator, str(claim.outcome)]
            for part in claim.measured:
                numbers = _estimate(part.estimate)
                cells = ["" if numbers[key] is None else numbers[key] for key in _NUMBERS]
                found = [part.reference, *cells[:3], part.unit, cells[3]]
                table.writerow([*start, *found, claim.reason])
            if not claim.measured:
                table.writerow([*start, *[""] * 6, claim.reason])
    return text.getvalue()


def write_summary(directory: Path, all_judged: Sequence[Judged], command: str) -> Path:
    """claims.html, .md, .json and .csv over several runs; returns the page."""
    data = {
        "command": command,
        "summary": tally(all_judged),
        "runs": [as_data(one) for one in all_judged],
    }
    durable.write_json(directory / "claims.json", data)
    durable.write_text(directory / "claims.csv", as_csv(all_judged))
    durable.write_text(directory / "claims.md", as_markdown(all_judged, command))
    durable.write_text(directory / "claims.html", _page(all_judged, command))
    return directory / "claims.html"


def as_markdown(all_judged: Sequence[Judged], command: str) -> str:
    """The table for a pull request or a README."""
    lines = ["# Claims", "", f"{tally(all_judged)}.", "", f"Made by `{command}`."]
    for one in all_judged:
        lines += ["", f"## {one.experiment}", "", *conditions(one), ""]
        lines += markdown_table(*claim_rows(one.claims)) if one.claims else []
    return "\n".join(lines) + "\n"


def conditions(one: Judged) -> list[str]:
    """Under what the claims of a run were measured, a sentence each."""
    said = [f"Run `{one.run}`: {one.clock} clock, {one.accelerator}."] if one.run else []
    if one.clock == "wall" and one.accelerator == "tcg":
        said.append("Under TCG the wall clock measures the emulator as much as the stack.")
    return [*said, f"Not all was measured: {one.failure}"] if one.failure else said


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown."""

    def line(cells: Sequence[str]) -> str:
        clean = (cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells)
        return f"| {' | '.join(clean)} |"

    return [line(headers), line(["---"] * len(headers)), *(line(row) for row in rows)]


def _page(all_judged: Sequence[Judged], command: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("claims.html.j2").render(
        version=__version__,
        css=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        runs=[(one, conditions(one)) for one in all_judged],
        measured=measured,
        tally=tally(all_judged),
        command=command,
    )


_NUMBERS = ("value", "low", "high", "repetitions")


def _estimate(estimate: Estimate) -> Mapping[str, float | int | None]:
    numbers = (estimate.value, estimate.low, estimate.high)
    return dict(zip(_NUMBERS, (*map(_number, numbers), estimate.n), strict=True))


def _number(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None
