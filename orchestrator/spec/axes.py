# SPDX-License-Identifier: Apache-2.0
"""Axes of a matrix: one value, a list of values, or a range."""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from orchestrator.spec import units
from orchestrator.spec.fields import Count, Scalar, SpecModel

SIGNIFICANT_DIGITS = 3


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no end of a range")
    return value


# The check comes first: pydantic takes true for 1.
type RangeEnd = Annotated[int | float | str, BeforeValidator(_no_flag)]


class Range(SpecModel):
    """Values from one end to the other, both included.

    Values between the ends are rounded to three significant digits (sizes to bytes), and to whole
    numbers when both ends are whole.
    """

    start: RangeEnd = Field(
        alias="from", description="First value; may carry a unit.", examples=[500, "64B"]
    )
    to: RangeEnd = Field(
        description="Last value, in the same kind of unit.", examples=[8000, "16KiB"]
    )
    steps: Count = Field(ge=2, le=1000, description="Number of values.", examples=[6])
    scale: Literal["linear", "log"] = Field("linear", description="How the values are spaced.")

    @model_validator(mode="after")
    def _ends_fit(self) -> Self:
        self.values()
        return self

    def values(self) -> tuple[Scalar, ...]:
        """The values in order, quantities as text with their unit."""
        low, low_kind = _amount(self.start)
        high, high_kind = _amount(self.to)
        if low_kind is not high_kind:
            raise ValueError(f"{self.start} and {self.to} are not of one kind")
        if low == high:
            raise ValueError("from and to are the same")
        if self.scale == "log" and (low <= 0 or high <= 0):
            raise ValueError("a log scale needs both ends above 0")
        whole = all(end == end.to_integral_value() for end in (low, high))
        inner = [
            _rounded(self._between(float(low), float(high), index), low_kind, whole)
            for index in range(1, self.steps - 1)
        ]
        amounts = [low, *inner, high]
        if len(set(amounts)) != len(amounts):
            raise ValueError(f"{self.steps} steps are too many: some values would be equal")
        return tuple(_value(amount, low_kind, whole) for amount in amounts)

    def _between(self, low: float, high: float, index: int) -> float:
        part = index / (self.steps - 1)
        if self.scale == "log":
            return math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
        return low + part * (high - low)


def _amount(end: int | float | str) -> tuple[Decimal, units.Dimension | None]:
    if isinstance(end, str):
        found = units.split_quantity(end)
        if found is None:
            raise ValueError(f"{end!r} is neither a number nor a quantity")
        dimension, amount = found
        return amount, None if dimension is units.LOAD else dimension
    if not math.isfinite(end):
        raise ValueError(f"{end} is no end of a range")
    return Decimal(repr(end)), None


def _rounded(value: float, dimension: units.Dimension | None, whole: bool) -> Decimal:
    if dimension is units.SIZE:
        return Decimal(value).to_integral_value()
    rounded = Decimal(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return rounded.to_integral_value() if whole else rounded


def _value(amount: Decimal, dimension: units.Dimension | None, whole: bool) -> Scalar:
    if dimension is not None:
        return units.format_quantity(amount, dimension)
    return int(amount) if whole else float(amount)


def _kind(value: Any) -> str:
    if isinstance(value, dict | Range):
        return "range"
    return "list" if isinstance(value, list | tuple) else "value"


type Values = tuple[Scalar, ...]
type AxisValue = Range | Values | Scalar

Axis = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[tuple[Scalar, ...], Field(min_length=1), Tag("list")]
    | Annotated[Scalar, Tag("value")],
    Discriminator(_kind),
    Field(
        json_schema_extra={
            "x-kind": "axis",
            "examples": [1000, [1, 16], {"from": 500, "to": 8000, "steps": 6, "scale": "log"}],
        }
    ),
]


def axis_values(axis: AxisValue) -> Values:
    """The values of an axis in their order."""
    if isinstance(axis, Range):
        return axis.values()
    return axis if isinstance(axis, tuple) else (axis,)
