# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import words
from orchestrator.spec import units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50us", 50_000),
        ("50µs", 50_000),
        ("300ms", 300_000_000),
        ("1.5s", 1_500_000_000),
        ("2 min", 120_000_000_000),
        ("1h", 3600 * 10**9),
        ("0.5us", 500),
        ("0", 0),
        (0, 0),
    ],
)
def test_durations_are_nanoseconds(text: object, expected: int) -> None:
    assert units.parse_duration_ns(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64B", 64), ("1KiB", 1024), ("1kB", 1000), ("768MiB", 768 * 2**20), ("1.5GiB", 3 * 2**29)],
)
def test_sizes_are_bytes(text: str, expected: int) -> None:
    assert units.parse_size_bytes(text) == expected


def test_rates_shares_and_loads() -> None:
    assert units.parse_rate_bps("1Gbit") == 10**9
    assert units.parse_fraction("10%") == 0.1
    assert units.parse_fraction("0.1%") == 0.001
    assert units.parse_load_rps("2.5k") == 2500.0
    assert units.parse_load_rps(800) == 800.0


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (units.parse_duration_ns, "10 mss", "did you mean 10ms?"),
        (units.parse_duration_ns, "10msec", "did you mean 10ms?"),
        (units.parse_duration_ns, "1m", "did you mean 1min?"),
        (units.parse_duration_ns, 10, "10 has no unit; did you mean 10s?"),
        (units.parse_duration_ns, "1.5ns", "no whole number of ns"),
        (units.parse_duration_ns, "-1s", "negative"),
        (units.parse_duration_ns, "soon", "write it like 50us, 300ms, 2s"),
        (units.parse_duration_ns, "1 fortnight", "unknown unit 'fortnight'"),
        (units.parse_duration_ns, None, "an empty value is no duration"),
        (units.parse_duration_ns, True, "True is no duration"),
        (units.parse_duration_ns, "1e400s", "out of range"),
        (units.parse_size_bytes, "64", "did you mean 64B?"),
        (units.parse_size_bytes, "1K", "did you mean 1KiB?"),
        (units.parse_size_bytes, "512mb", "did you mean 512MiB?"),
        (units.parse_rate_bps, "1Gbps", "did you mean 1Gbit?"),
        (units.parse_fraction, "200%", "not between 0% and 100%"),
        (units.parse_fraction, 0.1, "did you mean 10% or 0.1%?"),
        (units.parse_load_rps, "5K", "did you mean 5k?"),
        (units.parse_load_rps, 0, "above 0"),
        (units.parse_load_rps, float("nan"), "no rate of requests"),
    ],
)
def test_wrong_quantities_name_the_right_one(
    parse: Callable[[object], object], value: object, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        parse(value)
    assert message in str(caught.value)


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_durations_survive_being_written(ns: int) -> None:
    assert units.parse_duration_ns(units.format_duration(ns)) == ns


@settings(deadline=None)
@given(st.integers(0, 2**60))
def test_sizes_survive_being_written(size: int) -> None:
    assert units.parse_size_bytes(units.format_size(size)) == size


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_rates_survive_being_written(bps: int) -> None:
    assert units.parse_rate_bps(units.format_rate(bps)) == bps


@settings(deadline=None)
@given(st.floats(0, 1, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-20))
def test_shares_survive_being_written(share: float) -> None:
    assert units.parse_fraction(units.format_fraction(share)) == share


@settings(deadline=None)
@given(st.floats(1e-3, 1e9))
def test_loads_survive_being_written(rps: float) -> None:
    assert units.parse_load_rps(units.format_load(rps)) == rps


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert units.parse_duration_ns(text) >= 0
    except ValueError as error:
        assert str(error)


def test_the_largest_whole_unit_is_chosen() -> None:
    assert units.format_duration(90 * 10**9) == "90s"
    assert units.format_duration(1_500_000) == "1500us"
    assert units.format_size(1000) == "1kB"
    assert units.format_size(1024) == "1KiB"
    assert units.format_fraction(0.001) == "0.1%"


def test_quantities_are_told_apart_by_their_unit() -> None:
    assert units.split_quantity("4KiB") == (units.SIZE, Decimal(4096))
    assert units.split_quantity("4us") == (units.DURATION, Decimal(4000))
    assert units.split_quantity("reuseport") is None


def test_nanoseconds_in_a_text_get_units_that_people_read() -> None:
    reason = "within 1000000 ns (largest lateness 59846414 ns), 12 ns, 999600 ns, 5330 requests"
    told = "within 1 ms (largest lateness 59.8 ms), 12 ns, 1 ms, 5330 requests"
    assert words.readable_times(reason) == told


def test_one_thing_is_not_several() -> None:
    assert [words.count_of(number, "trial") for number in (0, 1, 1000)] == [
        "0 trials",
        "1 trial",
        "1,000 trials",
    ]
