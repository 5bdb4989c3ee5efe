# SPDX-License-Identifier: Apache-2.0
"""How sensitive verdicts are, as a table and as the page docs/detection-power.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.analysis import power as analysis
from orchestrator.analysis.power import Power, Sensitivity, alarmed, detected, unjudged
from orchestrator.report.claims import markdown_table
from orchestrator.run.neutral import Kind
from orchestrator.spec import Suite

PAGE = "docs/detection-power.md"
KINDS = {
    Kind.PADDING: "NOPs between functions, never executed: all code lies elsewhere",
    Kind.ORDER: "the objects of each library in another order",
    Kind.ENVIRONMENT: "a larger environment of the server: its stack lies elsewhere",
}
NOTHING = "–"
TOTAL, USER = "instructions_per_request", "instructions_per_request_user"


def headers(share: float) -> list[str]:
    return [
        "metric",
        "neutral change, median>",
        "largest>",
        "threshold derived>",
        "in force>",
        "false alarms>",
        "without itself>",
        f"with {analysis.percent(share)} more work>",
        "found>",
        "surely seen>",
        "not judged>",
    ]


def row(one: Sensitivity) -> list[str]:
    return [
        one.metric,
        _shown(one.middle, ".2%"),
        _shown(one.largest, ".2%"),
        _shown(one.derived, ".1%"),
        f"{one.threshold:.1%}",
        _count(one.alarms, one.pairs),
        _count(one.unseen, one.pairs),
        _shown(one.slowdown, "+.2%"),
        _count(one.found, one.slowed),
        _shown(one.least, ".1%"),
        str(one.unjudged),
    ]


def _shown(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _count(some: int, of: int) -> str:
    return f"{some} of {of}" if of else NOTHING


def headline(power: Power) -> str:
    by = ", ".join(f"by {metric} in {count}" for metric, count in analysis.finders(power))
    missed = unjudged(power)
    return (
        f"{alarmed(power)} false alarms in {len(power.same)} neutral pairs; "
        f"{analysis.percent(power.share)} more instructions per request found in "
        f"{detected(power)} of {len(power.slowed)} pairs"
        + (f": {by}" if by else "")
        + (f"; pairs that could not be judged in a metric: {missed}" if missed else "")
    )


def page(power: Power, suite: Suite, source: Mapping[str, Any], command: str) -> str:
    """The text of PAGE. source: commit and state of the checkout that was measured."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    columns = [name.removesuffix(">") for name in headers(power.share)]
    apart, said = analysis.between_seeds(power, TOTAL)
    rows = analysis.sensitivities(power)
    program = next((one.slowdown for one in rows if one.metric == USER), None)
    total, user = (analysis.by_kind(power, metric) for metric in (TOTAL, USER))
    return environment.get_template("power.md.j2").render(
        commit=source["commit"][:10],
        dirty=source["dirty"],
        command=command,
        headline=headline(power),
        table="\n".join(markdown_table(columns, [row(one) for one in rows])),
        neutral=len(power.same),
        slowed=len(power.slowed),
        share=_apart(analysis.percent(power.share)),
        of_program=NOTHING if program is None else _apart(_rounded(program)),
        seeds=_seeds(power),
        sets=analysis.SEED_SETS,
        suite=suite.name,
        cells=", ".join(_cells(power)),
        coverage=analysis.coverage(power),
        kinds=[
            (kind, what, _shown(total.get(kind), ".2%"), _shown(user.get(kind), ".2%"))
            for kind, what in KINDS.items()
        ],
        said=f"every such pair is “{'”, “'.join(sorted(said))}”, which no threshold decides",
        apart=_shown(apart, ".1%"),
    )


def _apart(percent: str) -> str:
    """As prose has it."""
    return percent.replace("%", " %")


def _rounded(share: float) -> str:
    """A share that was measured, in two digits."""
    return analysis.percent(float(f"{share:.1e}"))


def _seeds(power: Power) -> int:
    """The fewest seeds on a side of any pair."""
    pairs = (*power.same, *power.slowed)
    cells = (cell for pair in pairs for cell in (*pair.before, *pair.after))
    return min((len(cell.valid) for cell in cells), default=0)


def _cells(power: Power) -> list[str]:
    """The points that were measured, in words."""
    found = {}
    for pair in power.same:
        for cell in pair.before:
            key = cell.key
            load = "" if key.offered_rps is None else f" at {key.offered_rps:,.0f} requests/s"
            found[f"{key.variant}{load}"] = True
    return list(found)
