# SPDX-License-Identifier: Apache-2.0
"""Counts and times in words, for whoever says something; imports nothing that takes time."""

import re

_NANOSECONDS = re.compile(r"\b(\d+) ns\b")


def count_of(number: int, noun: str) -> str:
    """A number of things: 1 trial, 1,000 trials."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def readable_times(text: str) -> str:
    """A text with its whole nanoseconds in units that people read, to three digits."""
    return _NANOSECONDS.sub(lambda found: _readable(float(f"{float(found[1]):.3g}")), text)


def _readable(nanoseconds: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.10g} {unit}"
    return f"{nanoseconds:g} ns"
