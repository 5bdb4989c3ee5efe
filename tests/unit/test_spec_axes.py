# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.spec.axes import Range, axis_values


def values(**range_: object) -> tuple[object, ...]:
    return Range.model_validate(range_).values()


def test_a_linear_range_is_evenly_spaced() -> None:
    assert values(**{"from": 0, "to": 10, "steps": 3}) == (0, 5, 10)
    assert values(**{"from": 0.0, "to": 1.5, "steps": 4}) == (0.0, 0.5, 1.0, 1.5)
    assert values(**{"from": 10, "to": 2, "steps": 3}) == (10, 6, 2)


def test_a_log_range_is_rounded_between_its_ends() -> None:
    loads = values(**{"from": 500, "to": 8000, "steps": 6, "scale": "log"})
    assert loads == (500, 871, 1520, 2640, 4590, 8000)


def test_ends_may_carry_units() -> None:
    sizes = values(**{"from": "64B", "to": "16KiB", "steps": 5, "scale": "log"})
    assert sizes == ("64B", "256B", "1KiB", "4KiB", "16KiB")
    assert values(**{"from": "10us", "to": "1ms", "steps": 3, "scale": "log"})[1] == "100us"
    assert values(**{"from": "0%", "to": "1%", "steps": 3}) == ("0%", "0.5%", "1%")
    assert values(**{"from": "1k", "to": "3k", "steps": 3}) == (1000, 2000, 3000)


@pytest.mark.parametrize(
    ("range_", "message"),
    [
        ({"from": 1, "to": 1, "steps": 2}, "are the same"),
        ({"from": 0, "to": 8, "steps": 3, "scale": "log"}, "above 0"),
        ({"from": 1, "to": 3, "steps": 8}, "some values would be equal"),
        ({"from": "1us", "to": "1KiB", "steps": 3}, "not of one kind"),
        ({"from": "many", "to": 5, "steps": 3}, "neither a number nor a quantity"),
        ({"from": True, "to": 5, "steps": 3}, "no end of a range"),
        ({"from": 1, "to": float("inf"), "steps": 3}, "no end of a range"),
    ],
)
def test_impossible_ranges_say_why(range_: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Range.model_validate(range_)


@settings(deadline=None)
@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.integers(2, 20),
    st.sampled_from(["linear", "log"]),
)
def test_ranges_are_ordered_and_keep_their_ends(
    low: int, high: int, steps: int, scale: str
) -> None:
    try:
        found = values(**{"from": low, "to": high, "steps": steps, "scale": scale})
    except ValidationError:
        assume(False)
    assert found[0] == low
    assert found[-1] == high
    assert len(found) == steps
    assert list(found) == sorted(found, reverse=high < low)  # type: ignore[type-var]
    assert all(isinstance(value, int) for value in found)


def test_one_value_and_a_list_are_axes_too() -> None:
    assert axis_values(5) == (5,)
    assert axis_values((1, "2k")) == (1, "2k")
