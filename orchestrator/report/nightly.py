# SPDX-License-Identifier: Apache-2.0
"""A nightly result as rows, as Markdown and as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestrator.analysis.baseline import level
from orchestrator.analysis.cells import Cell
from orchestrator.analysis.compare import Row
from orchestrator.analysis.nightly import Nightly, Outcome, is_lost, is_new
from orchestrator.analysis.statistics import Estimate, median_interval
from orchestrator.analysis.verdicts import Verdict
from orchestrator.report import formats, html

NAMES = ("baseline", "now", "ratio")
_LOUD = (Verdict.SLOWER, Verdict.FASTER, Verdict.INVALID, Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A cell as text."""

    name: str
    workload: str
    metric: str
    load: str
    before: str
    after: str
    ratio: str
    span: str
    verdict: str
    why: str


def calls_for_a_look(outcome: Outcome) -> bool:
    """Whether somebody should read about this cell; most are the same, night for night."""
    return outcome.judgement.verdict in _LOUD or is_lost(outcome)


def row(outcome: Outcome) -> Row:
    """As a row of a comparison, which is how the terminal shows both."""
    key = outcome.key
    return Row(
        variant=f"{key.experiment}: {key.variant}",
        workload=key.workload,
        offered_rps=float("nan") if key.offered_rps is None else key.offered_rps,
        metric=key.metric,
        unit=outcome.unit,
        before=_estimate(outcome.before),
        after=_estimate(outcome.after),
        ratio=outcome.judgement.ratio,
        verdict=outcome.judgement.verdict,
        why=outcome.judgement.why,
        threshold=outcome.judgement.threshold,
    )


def line(outcome: Outcome) -> Line:
    key, ratio = outcome.key, outcome.judgement.ratio
    return Line(
        name=key.name,
        workload=key.workload,
        metric=key.metric,
        load=formats.NOTHING if key.offered_rps is None else formats.rate(key.offered_rps),
        before=_level(outcome.before, outcome.unit),
        after=_level(outcome.after, outcome.unit),
        ratio=formats.NOTHING if ratio is None else formats.ratio(ratio.value),
        span=formats.ratio_span(ratio),
        verdict=str(outcome.judgement.verdict),
        why=outcome.judgement.why,
    )


def headline(nightly: Nightly) -> str:
    """The whole in one sentence."""
    counts = nightly.counts
    told = ", ".join(f"{counts[one]} {one}" for one in Verdict if counts.get(one))
    cells = f"{len(nightly.outcomes)} cells: {told}" if told else "no cell was measured"
    if not nightly.baseline_accepted:
        return f"{cells}; there is no baseline yet."
    new = sum(1 for one in nightly.outcomes if is_new(one))
    return f"{cells}{f' ({new} of them new)' if new else ''}."


def against(nightly: Nightly) -> str:
    """The baseline in words."""
    if not nightly.baseline_accepted:
        return "none"
    commits = ", ".join(commit[:10] for commit in nightly.baseline_commits) or "no commit"
    return f"{commits}, accepted {nightly.baseline_accepted}"


def commit_of(nightly: Nightly) -> str:
    about = nightly.about
    changed = " with changes" if about.dirty else ""
    return f"{about.commit[:10]}{changed}  {about.subject}" if about.commit else "no commit"


def markdown(nightly: Nightly) -> str:
    """A summary for a chat, a pull request or a CI page: what calls for a look comes first."""
    about = nightly.about
    lines = [
        f"# {_md(about.title)}: {nightly.verdict}",
        "",
        headline(nightly),
        "",
        f"- commit: {_md(commit_of(nightly))}",
        f"- baseline: {against(nightly)}",
        f"- result: `{about.name}`, {about.started}, {about.seconds:.0f} s",
    ]
    failures = [part for part in nightly.parts if part.failure]
    if failures:
        lines += ["", "## Not measured in full", ""]
        lines += [f"- **{_md(part.name)}**: {_md(part.failure)}" for part in failures]
    loud = [one for one in nightly.outcomes if calls_for_a_look(one)]
    if loud:
        lines += ["", "## Look at these", "", *_table(loud, why=True)]
    quiet = [one for one in nightly.outcomes if not calls_for_a_look(one)]
    if quiet:
        lines += ["", "<details><summary>The others</summary>", "", *_table(quiet, why=False)]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _table(outcomes: Sequence[Outcome], *, why: bool) -> list[str]:
    head = ["cell", "workload", *NAMES, "verdict", *(["why"] if why else [])]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for one in map(line, outcomes):
        cells = [one.name, one.workload, one.before, one.after, one.ratio, one.verdict]
        rows.append("| " + " | ".join(_md(cell) for cell in [*cells, *([one.why] * why)]) + " |")
    return rows


def _md(text: str) -> str:
    """Text that stays text in Markdown, and in one cell of a table."""
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in text)
    return " ".join(escaped.split())


def page(nightly: Nightly, *, trends: str) -> str:
    """The result as one HTML file. trends: where the page of the history is, relative to it."""
    groups = [
        (experiment, variant, workload, [line(one) for one in outcomes])
        for (experiment, variant, workload), outcomes in groupby(
            nightly.outcomes, key=lambda one: one.key.group
        )
    ]
    return (
        html.environment()
        .get_template("nightly.html.j2")
        .render(
            nightly=nightly,
            about=nightly.about,
            headline=headline(nightly),
            commit=commit_of(nightly),
            against=against(nightly),
            loud=[line(one) for one in nightly.outcomes if calls_for_a_look(one)],
            groups=groups,
            trends=trends,
        )
    )


def _level(cell: Cell | None, unit: str) -> str:
    if cell is None or not cell.valid:
        return formats.NOTHING
    return formats.quantity(level(cell), unit)


def _estimate(cell: Cell | None) -> Estimate | None:
    return median_interval(cell.side.values) if cell is not None and cell.valid else None
