# SPDX-License-Identifier: Apache-2.0
"""The shape of an experiment file as the models declare it: which keys may stand where."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel

from orchestrator.spec.model import Experiment
from orchestrator.spec.source import Loc
from orchestrator.spec.workload import Workload

type Model = type[BaseModel]


def keys_of(model: Model) -> dict[str, Any]:
    """The keys of a model as in the file, with the type of each."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def models_in(annotation: Any) -> Iterator[Model]:
    """The models that a value of this type may be."""
    for kind in _plain(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind


def child(annotation: Any, part: str | int) -> Any:
    """The type of a key or list index inside a value of a type; None when there is none such."""
    for kind in _plain(annotation):
        origin, arguments = get_origin(kind), get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found = keys_of(kind).get(str(part))
            if found is not None:
                return found
        elif origin is Mapping and isinstance(part, str):
            return arguments[1]
        elif origin is tuple and isinstance(part, int):
            return arguments[0]
    return None


def type_at(loc: Loc, root: Any = Experiment) -> Any:
    """The type of the value at a place; None when no such place exists."""
    annotation: Any = root
    for depth, part in enumerate(loc):
        if root is Experiment and _is_variant_workload(loc[:depth]):
            annotation = Workload
        annotation = child(annotation, part)
        if annotation is None:
            return None
    if root is Experiment and _is_variant_workload(loc):
        return Workload
    return annotation


def known_keys(loc: Loc, root: Any = Experiment) -> tuple[str, ...]:
    """The keys that the models allow at a place; none for a mapping with free keys."""
    return tuple(
        dict.fromkeys(key for model in models_in(type_at(loc, root)) for key in keys_of(model))
    )


def homes(key: str) -> tuple[str, ...]:
    """Every place, dotted, where a key of this name may stand; `*` is any name or index."""
    return tuple(path for path in _paths(Experiment, ()) if path.rpartition(".")[2] == key)


def all_keys() -> tuple[str, ...]:
    """The names of all keys, wherever they may stand."""
    names = (path.rpartition(".")[2] for path in _paths(Experiment, ()))
    return tuple(name for name in dict.fromkeys(names) if name != "*")


def _is_variant_workload(loc: Loc) -> bool:
    return len(loc) == 3 and loc[0] == "variants" and loc[2] == "workload"


def _paths(annotation: Any, loc: Sequence[str]) -> Iterator[str]:
    for kind in _plain(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for key, inner in keys_of(kind).items():
                yield ".".join((*loc, key))
                yield from _paths(inner, (*loc, key))
        elif get_origin(kind) is Mapping:
            yield from _paths(get_args(kind)[1], (*loc, "*"))
        elif get_origin(kind) is tuple:
            yield from _paths(get_args(kind)[0], (*loc, "*"))


def _plain(annotation: Any) -> Iterator[Any]:
    """A type without its wrappers; each member of a union."""
    if isinstance(annotation, TypeAliasType):
        yield from _plain(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _plain(member)
    else:
        yield annotation
