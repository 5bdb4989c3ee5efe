# SPDX-License-Identifier: Apache-2.0
"""Whether a server still answers at the rate at which requests are due.

What counts is what was scheduled in the window: with Poisson arrivals the nominal rate is only its
mean, from which short windows are far off by chance.
"""

import math
from collections.abc import Iterable, Sequence

from orchestrator.analysis.points import Point
from orchestrator.analysis.raw import Record

# The share of requests that may be under way at the end of the window, beyond those at its start.
LAGGING = 0.05
# Answers are counted, and so have a counting error: this many standard deviations are allowed.
DEVIATIONS = 2.0


class Saturation:
    """Tells which points of a run were answered in full."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._counts = {
            record.trial.id: (
                record.load.achieved_rps * record.load.duration_ns / 1e9,
                record.load.scheduled,
            )
            for record in records
            if record.load is not None
        }

    def follows(self, point: Point) -> bool:
        """Whether the valid repetitions of an open-loop point, together, were answered."""
        if math.isnan(point.offered_rps):
            return False
        return keeps_up(self._counts[s.trial] for s in point.valid if s.trial in self._counts)


def keeps_up(counts: Iterable[tuple[float, int]]) -> bool:
    """counts: requests answered in a window, and due in it."""
    pairs = list(counts)
    answered, due = sum(one for one, _ in pairs), sum(one for _, one in pairs)
    return due - answered <= max(LAGGING * due, DEVIATIONS * math.sqrt(due))
