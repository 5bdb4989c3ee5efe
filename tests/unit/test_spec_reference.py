# SPDX-License-Identifier: Apache-2.0
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import paths
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import make_plan
from orchestrator.spec import Experiment, json_schema, load_experiment, render_reference
from orchestrator.spec.model import Clock
from orchestrator.spec.reference import EXAMPLE
from orchestrator.spec.schema import all_models
from orchestrator.spec.structure import homes, keys_of, known_keys


def test_the_committed_reference_is_current() -> None:
    committed = paths.project("docs", "experiments.md").read_text(encoding="utf-8")
    assert committed == render_reference(), "ringbed schema --docs -o docs/experiments.md"


def test_the_reference_describes_every_key() -> None:
    text = render_reference()
    for model in all_models():
        for key in keys_of(model):
            assert f"| `{key}` |" in text
        for name, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{name} has no description"


def test_links_inside_the_reference_lead_somewhere() -> None:
    text = render_reference()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


@pytest.mark.parametrize("clock", ["wall", "virtual"])
def test_the_example_of_the_reference_can_be_planned(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "experiment.yml"
    path.write_text(EXAMPLE, encoding="utf-8")
    made = make_plan(load_experiment(path, clock=clock), Drivers(), inputs={})
    assert (made.experiment, made.clock) == ("example", clock)
    assert len(made.topologies) == 2


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for item in node.values():
            yield from _nodes(item)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def test_the_schema_is_closed_and_described() -> None:
    schema = json_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    for model in all_models():
        node = schema if model is Experiment else schema["$defs"][model.__name__]
        assert node["additionalProperties"] is False
        assert set(node["properties"]) == set(keys_of(model))
        for key, described in node["properties"].items():
            assert described.get("description"), f"{model.__name__}: {key}"
    for node in _nodes(schema):
        if isinstance(node.get("$ref"), str):
            name = node["$ref"].removeprefix("#/$defs/")
            assert name in schema["$defs"]
    assert schema["properties"]["duration"]["default"] == "1s"
    assert schema["$defs"]["Variant"]["properties"]["workload"]["$ref"] == "#/$defs/Workload"


def test_the_structure_follows_the_models() -> None:
    assert "message" in known_keys(("workload",))
    assert known_keys(("links", 0, "ends", 1)) == ("machine", "nic", "queues", "rx_usecs")
    assert "keys" in known_keys(("variants", "any", "workload", "memcached"))
    assert known_keys(("variants", "any", "options")) == ()
    assert homes("late_after") == ("workload.adherence.late_after",)
    assert homes("queues") == ("links.*.ends.*.queues",)
