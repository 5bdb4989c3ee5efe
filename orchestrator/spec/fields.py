# SPDX-License-Identifier: Apache-2.0
"""The types of single values: each reads one spelling, stores one base unit and writes it back.

A model written back with `model_dump(mode="json", by_alias=True)` is a valid experiment file again.
"""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from orchestrator.spec import units

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"


class SpecModel(BaseModel):
    """Root of all models of an experiment file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


def _quantity(dimension: units.Dimension, pattern: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": pattern}, {"type": "number", "const": 0}],
            "x-kind": dimension.name,
            "examples": list(dimension.examples),
        }
    )


_NUMBER = r"\d+(\.\d+)?"

Duration = Annotated[
    int,
    BeforeValidator(units.parse_duration_ns),
    PlainSerializer(units.format_duration, return_type=str, when_used="json"),
    _quantity(units.DURATION, rf"^{_NUMBER} ?(ns|us|ms|s|min|h)$"),
]
Size = Annotated[
    int,
    BeforeValidator(units.parse_size_bytes),
    PlainSerializer(units.format_size, return_type=str, when_used="json"),
    _quantity(units.SIZE, rf"^{_NUMBER} ?(B|kB|KiB|MB|MiB|GB|GiB)$"),
]
Rate = Annotated[
    int,
    BeforeValidator(units.parse_rate_bps),
    PlainSerializer(units.format_rate, return_type=str, when_used="json"),
    _quantity(units.BITRATE, rf"^{_NUMBER} ?(bit|kbit|Mbit|Gbit)$"),
]
Fraction = Annotated[
    float,
    BeforeValidator(units.parse_fraction),
    PlainSerializer(units.format_fraction, return_type=str, when_used="json"),
    _quantity(units.FRACTION, rf"^{_NUMBER} ?%$"),
]
Load = Annotated[
    float,
    BeforeValidator(units.parse_load_rps),
    PlainSerializer(units.format_load, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": rf"^{_NUMBER} ?(k|M)?$"},
            ],
            "x-kind": units.LOAD.name,
            "examples": list(units.LOAD.examples),
        }
    ),
]
Name = Annotated[
    str,
    StringConstraints(pattern=NAME_PATTERN, max_length=48),
    Field(json_schema_extra={"x-kind": "name"}),
]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]


def _single(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        kind = "nothing" if value is None else "a list" if isinstance(value, list) else "a mapping"
        raise ValueError(f"must be a single value, not {kind}")
    return value


# The check comes first, so that a wrong value is one error and not one for each member.
type Scalar = Annotated[
    bool | int | float | str,
    BeforeValidator(_single),
    WithJsonSchema({"type": ["number", "string", "boolean"]}),
]


def canonical(model: BaseModel) -> dict[str, Any]:
    """A model as plain JSON values under the keys of the file."""
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    return dumped
