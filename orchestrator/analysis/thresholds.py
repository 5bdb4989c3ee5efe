# SPDX-License-Identifier: Apache-2.0
"""How large a change must be to matter: one table, by metric and clock.

On the virtual clock nothing is noise, but code that does the same work can still be laid out
differently. A row for a metric states the spread of such neutral changes as it was measured; the
last row of a clock holds for all metrics without one. `./ringbed power power` measures anew: its
column "threshold derived" is what stands here (the rule is `derive` in analysis/power.py).
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """share: the relative change that still counts as none. metric: a name or a shell pattern.

    why: where the figure comes from; `explain` prints it.
    """

    metric: str
    clock: str
    share: float
    why: str


def _measured(metric: str, largest: float, share: float) -> Threshold:
    """A row of the virtual clock. largest: what a neutral change did to the metric at most."""
    why = (
        f"1.5 times the largest neutral change that was measured, {largest:.2%} "
        "(docs/detection-power.md)"
    )
    return Threshold(metric=metric, clock="virtual", share=share, why=why)


TABLE = (
    _measured("latency_p50", 0.102896, 0.155),
    _measured("latency_p99", 0.220127, 0.331),
    _measured("instructions_per_request", 0.017617, 0.027),
    _measured("instructions_per_request_user", 0.045591, 0.069),
    _measured("instructions_per_request_kernel", 0.023678, 0.036),
    _measured("client_instructions_per_request", 0.009155, 0.014),
    Threshold(metric="*", clock="virtual", share=0.005, why="default of the virtual clock"),
    Threshold(metric="*", clock="wall", share=0.05, why="default of the wall clock"),
)


def threshold_for(metric: str, clock: str) -> Threshold:
    """The first row of the table that fits."""
    for row in TABLE:
        if row.clock == clock and fnmatchcase(metric, row.metric):
            return row
    raise ValueError(f"no threshold for {metric} on the {clock} clock")
