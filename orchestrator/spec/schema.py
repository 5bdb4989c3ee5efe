# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of experiment files, for editors such as those that use yaml-language-server."""

from typing import Any

from pydantic import BaseModel, TypeAdapter

from orchestrator.spec.model import Experiment
from orchestrator.spec.structure import models_in

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, with every description, default and example as one would write it in a file."""
    schema: dict[str, Any] = Experiment.model_json_schema(by_alias=True, mode="validation")
    for model in all_models():
        name = model.__name__
        described = schema if model is Experiment else schema["$defs"][name]
        for key, text in default_texts(model).items():
            described["properties"][key]["default"] = text
    _drop(schema, "title", "x-kind", "gt")
    variant = schema["$defs"]["Variant"]["properties"]["workload"]
    variant.pop("additionalProperties", None)
    variant["$ref"] = "#/$defs/Workload"
    return {"$schema": DIALECT, "title": "ringbed experiment", **schema}


def all_models() -> tuple[type[BaseModel], ...]:
    """Experiment and every model inside it, each once, in the order of the file."""
    found: dict[type[BaseModel], None] = {}

    def visit(model: type[BaseModel]) -> None:
        if model in found:
            return
        found[model] = None
        for info in model.model_fields.values():
            for inner in _models_inside(info.annotation):
                visit(inner)

    visit(Experiment)
    return tuple(found)


def default_texts(model: type[BaseModel]) -> dict[str, Any]:
    """The default of each key that has one, as in a file; null ones are left out."""
    texts = {}
    for name, info in model.model_fields.items():
        if info.is_required():
            continue
        value = info.get_default(call_default_factory=True, validated_data={})
        kind: Any = info.rebuild_annotation()
        text = TypeAdapter(kind).dump_python(value, mode="json", by_alias=True)
        if text is not None:
            texts[info.alias or name] = text
    return texts


def _models_inside(annotation: Any) -> list[type[BaseModel]]:
    direct = list(models_in(annotation))
    for part in getattr(annotation, "__args__", ()):
        direct += _models_inside(part)
    value = getattr(annotation, "__value__", None)
    if value is not None:
        direct += _models_inside(value)
    return direct


def _drop(node: Any, *names: str) -> None:
    """Remove what pydantic adds for its own use, but no property of one of these names."""
    if isinstance(node, list):
        for item in node:
            _drop(item, *names)
    if not isinstance(node, dict):
        return
    for name in names:
        if not isinstance(node.get(name), dict):
            node.pop(name, None)
    if node.get("default", ...) is None:
        del node["default"]
    for key, item in node.items():
        if key not in ("default", "examples", "enum", "const", "required"):
            _drop(item, *names)
