# SPDX-License-Identifier: Apache-2.0
"""Reference lines against closed forms of queueing theory."""

import math

import numpy as np
import pytest

from orchestrator.analysis import queueing
from orchestrator.analysis.queueing import (
    draw,
    erlang_c,
    mean_sojourn_mg1,
    mean_sojourn_mmn,
    reference,
    second_moment,
    simulate,
)


def erlang_c_by_definition(servers: int, load: float) -> float:
    offered = servers * load
    top = offered**servers / math.factorial(servers) / (1 - load)
    return top / (sum(offered**k / math.factorial(k) for k in range(servers)) + top)


@pytest.mark.parametrize("servers", [1, 2, 5, 16])
@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_erlang_c(servers: int, load: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(erlang_c_by_definition(servers, load))


def test_one_exponential_server_is_mm1() -> None:
    for load in (0.2, 0.8):
        assert mean_sojourn_mmn(1, load) == pytest.approx(1 / (1 - load))
        assert mean_sojourn_mg1(load, "exponential") == pytest.approx(1 / (1 - load))


def test_fixed_service_waits_half_as_long_as_exponential() -> None:
    fixed = mean_sojourn_mg1(0.7, "fixed") - 1
    assert fixed == pytest.approx((mean_sojourn_mg1(0.7, "exponential") - 1) / 2)


@pytest.mark.parametrize("distribution", queueing.DISTRIBUTIONS)
def test_distributions_have_mean_one_and_their_second_moment(distribution: str) -> None:
    # The rare long requests of bimodal-2z make its sample moments wide.
    values = draw(distribution, (4_000_000,), np.random.default_rng(5))
    loose = 0.06 if distribution == "bimodal-2z" else 0.02
    assert values.mean() == pytest.approx(1.0, rel=loose)
    assert (values**2).mean() == pytest.approx(second_moment(distribution), rel=2.5 * loose)


def test_simulated_mm1_sojourn_is_exponential() -> None:
    load = 0.6
    sojourn = simulate("exponential", 1, (load,), replications=256, seed=3)[0]
    assert sojourn.mean() == pytest.approx(1 / (1 - load), rel=0.02)
    for q in (0.5, 0.99, 0.999):
        exact = -math.log(1 - q) / (1 - load)
        assert np.quantile(sojourn, q) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("servers", [2, 4])
def test_simulated_mmn_agrees_with_erlang_c(servers: int) -> None:
    sojourn = simulate("exponential", servers, (0.5, 0.8), replications=256, seed=4)
    for row, load in enumerate((0.5, 0.8)):
        assert sojourn[row].mean() == pytest.approx(mean_sojourn_mmn(servers, load), rel=0.02)


@pytest.mark.parametrize("distribution", ["fixed", "bimodal-1", "lognormal"])
def test_simulated_mg1_agrees_with_pollaczek_and_khinchine(distribution: str) -> None:
    sojourn = simulate(distribution, 1, (0.7,), replications=256, seed=6)[0]
    assert sojourn.mean() == pytest.approx(mean_sojourn_mg1(0.7, distribution), rel=0.04)


def test_a_reference_line_is_absolute_rising_and_repeatable() -> None:
    line = reference("exponential", 10_000.0, 2, loads=(0.2, 0.5, 0.8))
    assert line.rps.tolist() == pytest.approx([40_000, 100_000, 160_000])
    assert line.mean_ns[1] == pytest.approx(10_000 * mean_sojourn_mmn(2, 0.5))
    for values in line.quantiles.values():
        assert (np.diff(values) > 0).all()
    assert (line.quantiles[0.99] < line.quantiles[0.999]).all()
    reference.cache_clear()
    again = reference("exponential", 10_000.0, 2, loads=(0.2, 0.5, 0.8))
    assert (again.quantiles[0.999] == line.quantiles[0.999]).all()


def test_more_cores_behind_one_queue_are_better() -> None:
    one = reference("bimodal-1", 1000.0, 1, loads=(0.8,))
    four = reference("bimodal-1", 1000.0, 4, loads=(0.8,))
    assert four.quantiles[0.99][0] < one.quantiles[0.99][0]
