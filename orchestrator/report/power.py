# SPDX-License-Identifier: Apache-2.0
"""How sensitive verdicts are, as a table and as the page docs/detection-power.md."""

from orchestrator.analysis.power import Power, Sensitivity, alarmed, detected

HEADERS = (
    "metric",
    "neutral: median>",
    "neutral: largest>",
    "derived>",
    "threshold>",
    "alarms>",
    "alarms, left out>",
    "with more work>",
    "found>",
    "surely found>",
)


def row(one: Sensitivity) -> list[str]:
    return [
        one.metric,
        f"{one.middle:.2%}",
        f"{one.largest:.2%}",
        f"{one.derived:.1%}",
        f"{one.threshold:.1%}",
        f"{one.alarms}/{one.pairs}",
        f"{one.unseen}/{one.pairs}",
        f"{one.slowdown:+.2%}",
        f"{one.found}/{one.slowed}",
        f"{one.least:.1%}",
    ]


def headline(power: Power) -> str:
    return (
        f"{alarmed(power)} false alarms in {len(power.same)} neutral pairs; {power.share:.1%} more "
        f"work was found in {detected(power)} of {len(power.slowed)} pairs"
    )
