# SPDX-License-Identifier: Apache-2.0
"""Where levels change: synthetic steps, with and without noise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.changepoints import FEWEST_A_SIDE, divisive, steps


def noisy(*levels: tuple[float, int], noise: float = 0.02, seed: int = 1) -> list[float]:
    random = np.random.default_rng(seed)
    return [float(random.normal(level, noise * level)) for level, n in levels for _ in range(n)]


def test_a_step_without_noise_is_found_at_once() -> None:
    assert steps([100, 100, 100, 101], 0.005) == [3]
    assert steps([100, 100, 100.4, 100, 100.5], 0.005) == []
    assert steps([100, 101, 101, 100], 0.005) == [1, 3]
    assert steps([0, 0, 5], 0.005) == [2]
    assert steps([7.0], 0.005) == [] == steps([], 0.005)


@given(st.floats(1.0, 1e6), st.integers(1, 30), st.integers(1, 30), st.floats(0.51, 50.0))
def test_every_step_above_the_threshold(level: float, a: int, b: int, percent: float) -> None:
    values = [level] * a + [level * (1 + percent / 100)] * b
    assert steps(values, 0.005) == [a]
    assert steps([level] * (a + b), 0.005) == []


def test_steps_in_noise_are_found_near_their_place() -> None:
    for seed in range(5):
        values = noisy((100, 20), (115, 15), (100, 20), seed=seed)
        found = divisive(values, 0.05)
        assert len(found) == 2
        assert abs(found[0] - 20) <= 1 and abs(found[1] - 35) <= 1


def test_noise_alone_has_no_changes() -> None:
    alarms = sum(bool(divisive(noisy((100, 40), seed=seed), 0.01)) for seed in range(40))
    assert alarms <= 2


def test_a_change_below_the_threshold_is_none() -> None:
    values = noisy((100, 30), (103, 30), noise=0.001)
    assert divisive(values, 0.05) == []
    assert divisive(values, 0.02) == [30]


def test_the_same_values_give_the_same_answer() -> None:
    values = noisy((100, 12), (108, 12), noise=0.03)
    assert divisive(values, 0.01) == divisive(values, 0.01)


def test_short_and_flat_histories() -> None:
    assert divisive([1.0] * 50, 0.01) == []
    assert divisive([1.0, 9.0] * (FEWEST_A_SIDE - 1), 0.01) == []
    assert divisive([], 0.01) == []


def test_long_histories_are_searched_at_their_end() -> None:
    values = noisy((100, 280), (120, 20))
    (found,) = divisive(values, 0.05)
    assert abs(found - 280) <= 1
