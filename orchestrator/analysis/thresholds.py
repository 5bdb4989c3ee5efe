# SPDX-License-Identifier: Apache-2.0
"""How large a change must be to matter: one table, by metric and clock.

On the virtual clock nothing is noise, but code that does the same work can still be laid out
differently. A row for a metric states the spread of such neutral changes as it was measured; the
last row of a clock holds for all metrics without one.
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


TABLE = (
    Threshold(metric="*", clock="virtual", share=0.005, why="default of the virtual clock"),
    Threshold(metric="*", clock="wall", share=0.05, why="default of the wall clock"),
)


def threshold_for(metric: str, clock: str) -> Threshold:
    """The first row of the table that fits."""
    for row in TABLE:
        if row.clock == clock and fnmatchcase(metric, row.metric):
            return row
    raise ValueError(f"no threshold for {metric} on the {clock} clock")
