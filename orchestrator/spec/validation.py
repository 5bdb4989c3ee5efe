# SPDX-License-Identifier: Apache-2.0
"""What pydantic says about a document, in the words and places of the file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.spec import structure, units
from orchestrator.spec.faults import Fault, did_you_mean, entries, likeness, nearest
from orchestrator.spec.model import Experiment
from orchestrator.spec.reading import dotted
from orchestrator.spec.source import Loc, Source

type Annotation = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where validated data stands: below `loc` of the file, of a type as `root` declares it."""

    source: Source
    loc: Loc = ()
    root: Annotation = Experiment

    def fault(self, loc: Loc, message: str, *, hint: str = "", at_key: bool = False) -> Fault:
        full = (*self.loc, *loc)
        mark = self.source.key_mark(full) if at_key else self.source.value_mark(full)
        return Fault(mark=mark, key=dotted(full), message=message, hint=hint)


def validate(annotation: Annotation, data: object, place: Place) -> tuple[Any, list[Fault]]:
    """The value as its type, or None and every fault that pydantic found."""
    try:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation.model_validate(data), []  # its validator exists already
        return TypeAdapter(annotation).validate_python(data), []
    except ValidationError as error:
        return None, faults_of(error, data, place)


def faults_of(error: ValidationError, data: object, place: Place) -> list[Fault]:
    """Each error of pydantic as a Fault."""
    return [
        _fault(detail, data, place)
        for detail in error.errors(include_url=False)
        if not _counted_valid_only(detail)
    ]


def said(error: ValidationError) -> str:
    """The first error of a single value, without a place: that of an option, say."""
    detail = error.errors(include_url=False)[0]
    return _said(detail, detail["input"])


def _said(detail: ErrorDetails, given: object) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind not in _WORDS:
        return f"{_shown(given)}: {_lower(detail['msg'])}"
    return _WORDS[kind](_shown(given), _Context(context, given))


def _counted_valid_only(detail: ErrorDetails) -> bool:
    """Pydantic calls a list too short when entries are wrong; those have errors of their own."""
    least = detail.get("ctx", {}).get("min_length", 0)
    kept = detail["input"]
    return detail["type"] == "too_short" and isinstance(kept, list | dict) and len(kept) >= least


def _fault(detail: ErrorDetails, data: object, place: Place) -> Fault:
    loc = _real_loc(detail["loc"], data)
    kind, context = detail["type"], detail.get("ctx", {})
    given = _value_at(data, loc, detail["input"])
    shown = _shown(given)
    if kind == "extra_forbidden":
        return _unknown_key(loc, place)
    if kind == "missing":
        return _missing(loc, place)
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'|(-?\d+)", str(context["expected"]))
        words = [quoted or number for quoted, number in allowed]
        hint = did_you_mean(str(given), words)
        return place.fault(loc, f"{shown} is not one of {', '.join(words)}", hint=hint)
    if kind == "string_pattern_mismatch":
        at_key = bool(detail["loc"]) and detail["loc"][-1] == "[key]"
        message = (
            f"{_shown(detail['input'])} is no name: use lower-case letters, digits and single "
            "dashes between"
        )
        return place.fault(loc, message, hint=_slug_hint(detail["input"]), at_key=at_key)
    return place.fault(loc, _said(detail, given))


def _unknown_key(loc: Loc, place: Place) -> Fault:
    key = str(loc[-1])
    known = structure.known_keys(loc[:-1], place.root)
    return place.fault(loc, "unknown key", hint=key_hint(key, known, place.root), at_key=True)


def key_hint(key: str, known: Sequence[str], root: Annotation) -> str:
    """What may have been meant by a key: one that may stand here, or one of another place."""
    homes = structure.homes(key) if root is Experiment else ()
    if homes:
        return f"it belongs to {' or '.join(homes)}"
    found = nearest(key, known)
    if root is Experiment:
        elsewhere = nearest(key, structure.all_keys())
        if elsewhere and likeness(key, elsewhere) > likeness(key, found or ""):
            return f"did you mean {elsewhere}? it belongs to " + " or ".join(
                structure.homes(elsewhere)
            )
    return did_you_mean(key, known, among="keys here")


def _missing(loc: Loc, place: Place) -> Fault:
    if isinstance(loc[-1], int):
        return place.fault(loc[:-1], f"has only {entries(loc[-1])}")
    examples: Sequence[Any] = ()
    for model in structure.models_in(structure.type_at(loc[:-1], place.root)):
        for name, info in model.model_fields.items():
            if (info.alias or name) == loc[-1]:
                examples = info.examples or ()
    hint = f"for example {loc[-1]}: {examples[0]}" if examples else ""
    where = dotted((*place.loc, *loc[:-1]))
    message = f"the key {loc[-1]} is missing"
    if not where:
        return place.fault(loc[:-1], message, hint=hint)
    fault = place.fault(loc[:-1], message, hint=hint, at_key=True)
    return Fault(mark=fault.mark, key=where, message=message, hint=hint)


def _real_loc(loc: Sequence[str | int], data: object) -> Loc:
    """Without the parts that pydantic adds: tags of unions and "[key]"."""
    real: list[str | int] = []
    for index, part in enumerate(loc):
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list | tuple) and isinstance(part, int):
            data = data[part] if part < len(data) else None  # beyond the end: it is missing
        elif index != len(loc) - 1 or part == "[key]" or not isinstance(data, Mapping):
            continue  # a tag, which is no part of the document
        real.append(part)
    return tuple(real)


def _value_at(data: object, loc: Loc, default: object) -> object:
    """What stood in the document, where pydantic shows a value that is parsed already."""
    for part in loc:
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return default
    return data


@dataclass(frozen=True, slots=True)
class _Context:
    """The limits of a failed check, shown in the unit that the user wrote."""

    values: Mapping[str, Any]
    input: object

    def __getitem__(self, key: str) -> str:
        value = self.values[key]
        if isinstance(self.input, str):
            quantity = units.split_quantity(self.input)
            if quantity is not None:
                return units.format_quantity(Decimal(repr(value)), quantity[0])
        return str(value)

    def number(self, key: str) -> int:
        return int(self.values[key])


_WORDS: Mapping[str, Callable[[str, _Context], str]] = {
    "greater_than": lambda shown, limit: f"{shown} is not above {limit['gt']}",
    "greater_than_equal": lambda shown, limit: f"{shown} is below the least value, {limit['ge']}",
    "less_than": lambda shown, limit: f"{shown} is not below {limit['lt']}",
    "less_than_equal": lambda shown, limit: f"{shown} is above the largest value, {limit['le']}",
    "int_type": lambda shown, _: f"{shown} is no whole number",
    "int_parsing": lambda shown, _: f"{shown} is no whole number",
    "int_from_float": lambda shown, _: f"{shown} is no whole number",
    "float_type": lambda shown, _: f"{shown} is no number",
    "float_parsing": lambda shown, _: f"{shown} is no number",
    "finite_number": lambda shown, _: f"{shown} is no finite number",
    "bool_type": lambda shown, _: f"{shown} is neither true nor false",
    "string_type": lambda shown, _: f"{shown} is no text; put it into quotes if it is meant as one",
    "string_too_short": lambda shown, _: "must not be empty",
    "string_too_long": lambda shown, limit: f"{shown} is longer than {limit['max_length']}",
    "too_short": lambda _, limit: f"needs at least {entries(limit.number('min_length'))}",
    "too_long": lambda _, limit: f"has more than {entries(limit.number('max_length'))}",
    "model_type": lambda shown, _: f"{shown} stands where keys and values should",
    "model_attributes_type": lambda shown, _: f"{shown} stands where keys and values should",
    "dict_type": lambda shown, _: f"{shown} stands where keys and values should",
    "mapping_type": lambda shown, _: f"{shown} stands where keys and values should",
    "tuple_type": lambda shown, _: f"{shown} stands where a list should",
}


def _shown(value: object) -> str:
    if value is None:
        return "an empty value"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _slug_hint(value: object) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-").lstrip("0123456789-")
    return f"did you mean {slug}?" if slug else ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
