# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis import Estimate, MaxLoad, Objective, SloResult, State
from orchestrator.report import formats, theme
from orchestrator.report.figures import log_ticks

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (0.01234, "0.0123"),
        (-2.5, "-2.50"),
        (NAN, "–"),
        (math.inf, "∞"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert formats.significant(value) == text


@given(st.floats(1e-9, 1e12))
def test_significant_keeps_three_digits(value: float) -> None:
    found = float(formats.significant(value).replace(",", ""))
    assert found == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500 µs"), (999.0, "999 µs"), (1000.0, "1.00 ms"), (2.5e6, "2.50 s"), (NAN, "–")],
)
def test_times(value: float, text: str) -> None:
    assert formats.time_us(value) == text


def test_an_infinite_time() -> None:
    assert formats.time_us(math.inf) == "∞ s"


def test_intervals_appear_only_where_there_is_one() -> None:
    assert formats.interval(None, "us") == ""
    assert formats.interval(Estimate(value=1, low=NAN, high=NAN, n=1), "us") == ""
    assert formats.interval(Estimate(value=1, low=1, high=1, n=3), "us") == ""
    assert formats.interval(Estimate(value=1, low=1, high=2, n=3), "us") == "1.00 µs – 2.00 µs"


def test_bounds_are_marked() -> None:
    objective = Objective(metric="latency_p999", limit_ns=5e6)

    def text(state: State, rps: float) -> str:
        median = MaxLoad(state=state, rps=rps)
        return formats.slo(SloResult(objective=objective, median=median, estimate=None, answers=()))

    assert text(State.MEASURED, 1234) == "1,234"
    assert text(State.NOT_REACHED, 1234) == "≥ 1,234"
    assert text(State.BELOW_FIRST, 1234) == "< 1,234"
    assert text(State.NO_POINTS, NAN) == "no valid point"
    between = MaxLoad(state=State.BETWEEN, rps=1000, below=2500)
    bounds = SloResult(objective=objective, median=between, estimate=None, answers=())
    assert formats.slo(bounds) == "1,000 – 2,500"
    assert formats.slo_spread(bounds) == ""
    beyond = MaxLoad(state=State.NOT_REACHED, rps=4000)
    mixed = SloResult(objective=objective, median=beyond, estimate=None, answers=(between, beyond))
    assert formats.slo_spread(mixed) == "1,000 – 2,500 · ≥ 4,000"
    assert formats.slo(None) == "–"
    assert formats.objective(objective) == "p99.9 ≤ 5 ms"


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_on_dark_ground_stand_out() -> None:
    ground = _luminance("#171c23")
    for _, dark in theme.SERIES_COLOURS:
        assert (_luminance(dark) + 0.05) / (ground + 0.05) > 4.5


def test_styles_differ_in_more_than_colour() -> None:
    found = [theme.style(number) for number in range(7)]
    assert len({style.colour for style in found}) == 7
    assert len({style.marker for style in found}) == 7
    assert theme.style(7) != theme.style(0)


@given(st.floats(1e-3, 1e6), st.floats(0.02, 6.0))
def test_ticks_of_a_logarithmic_axis_can_be_told_apart(low: float, decades: float) -> None:
    high = low * 10.0**decades
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 10 and all(low <= tick <= high for tick in ticks)
    labels = [f"{tick:,.10g}" for tick in ticks]
    assert len(set(labels)) == len(labels)


def test_ticks_are_round() -> None:
    assert log_ticks(0.15, 90.0) == [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    assert log_ticks(0.5, 5e4) == [1.0, 10.0, 100.0, 1000.0, 10000.0]
    assert log_ticks(1.2, 5.2) == [1.5, 2.0, 3.0, 4.0, 5.0]
