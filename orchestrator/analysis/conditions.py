# SPDX-License-Identifier: Apache-2.0
"""What differs between the conditions of two runs, as their manifests tell."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.errors import UsageError

# Sections and keys of the experiment that change what is measured, but are no part of a curve's
# name.
_ASKED = ("machines", "links", "warmup", "duration")
_DIGITS = 8


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One short line for each difference, A before B. Raises UsageError when two accelerators
    measured time: then no difference could be told from that of the accelerators."""
    kinds = [_object(one, "accelerator").get("kind") for one in (before, after)]
    clocks = {one.get("clock") for one in (before, after)}
    if "virtual" not in clocks and kinds[0] != kinds[1] and all(kinds):
        raise UsageError(
            f"the runs cannot be compared: measured under {kinds[0]} and under {kinds[1]}",
            hint="on the wall clock compare runs of one accelerator; ./ringbed doctor says why "
            "this host has the one it has",
        )
    return [
        *_changed("accelerator", kinds[0], kinds[1]),
        *_experiment(_object(before, "experiment"), _object(after, "experiment")),
        *_inputs(_object(before, "inputs"), _object(after, "inputs")),
        *_changed("host CPU", *(_object(one, "host").get("cpu") for one in (before, after))),
    ]


def _experiment(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in _ASKED:
        yield from _deep(key, before.get(key), after.get(key))
    first, second = (_object(one, "workload").get("adherence") for one in (before, after))
    yield from _deep("adherence", first, second)


def _deep(name: str, before: Any, after: Any) -> Iterator[str]:
    """The leaves that differ, by their dotted keys."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = (dict(enumerate(one)) for one in (before, after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from _deep(f"{name}.{key}", before.get(key), after.get(key))
    else:
        yield from _changed(name, before, after)


def _inputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            first, second = (str(one.get(key, "-"))[:_DIGITS] for one in (before, after))
            yield f"input {key}: {first} -> {second}"


def _changed(name: str, before: object, after: object) -> Iterator[str]:
    if before != after:
        yield f"{name}: {_text(before)} -> {_text(after)}"


def _text(value: object) -> str:
    return "not given" if value is None else str(value)


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
