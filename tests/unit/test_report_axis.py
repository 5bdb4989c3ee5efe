# SPDX-License-Identifier: Apache-2.0
"""Value axes have round numbers that tell the values apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.axis import axis


@pytest.mark.parametrize(
    ("low", "high", "unit", "shown", "texts"),
    [
        (0.0, 10.0, "", "", ["0", "5", "10"]),
        (28_400.0, 29_900.0, "instructions", "instructions", ["28,500", "29,000", "29,500"]),
        (61.2, 61.9, "us", "µs", ["61.2", "61.4", "61.6", "61.8"]),
        (900.0, 2100.0, "us", "ms", ["1.0", "1.5", "2.0"]),
        (0.95, 1.0, "share", "%", ["96", "98", "100"]),
        (1.000005, 1.000042, "", "", ["1.00001", "1.00002", "1.00003", "1.00004"]),
    ],
)
def test_values_are_round(low: float, high: float, unit: str, shown: str, texts: list[str]) -> None:
    made = axis(low, high, unit)
    assert made.unit == shown
    assert [text for _, text in made.ticks] == texts


@given(
    low=st.floats(min_value=-1e9, max_value=1e9),
    span=st.floats(min_value=1e-2, max_value=1e9),
)
def test_values_are_few_within_and_told_apart(low: float, span: float) -> None:
    ticks = axis(low, low + span, "").ticks
    assert 1 <= len(ticks) <= 4
    assert all(low - span * 1e-6 <= at <= low + span * (1 + 1e-6) for at, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)
