# SPDX-License-Identifier: Apache-2.0
"""Labels of workloads: what is not the same load is never one curve."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from simulated_run import LOADS, QUICKSTART, RunBuilder

from orchestrator.analysis import build_results
from orchestrator.analysis.fields import Fields
from orchestrator.analysis.raw import read_trial
from orchestrator.analysis.workload import read_workload
from orchestrator.run.compose import record
from orchestrator.run.plan import Trial
from orchestrator.spec.workload import Workload

SPIN: dict[str, Any] = {"service_time": {"distribution": "lognormal"}}
FIXED: dict[str, Any] = {"memcached": {"profile": "fixed", "popularity": "zipf"}}
TRACE: dict[str, Any] = {"arrival": "trace", "trace": {"file": "a.trace"}}

# What a field is changed to, under which workload and protocol it counts.
CHANGES: list[tuple[str, str, dict[str, Any], Any]] = [
    ("mode", "echo", {}, "closed"),
    ("arrival", "echo", {}, "fixed"),
    ("think_time", "echo", {"mode": "closed"}, "1ms"),
    ("users", "echo", {"mode": "closed"}, 3),
    ("trace.file", "echo", TRACE, "b.trace"),
    ("trace.period", "echo", TRACE, "1ms"),
    ("threads", "echo", {}, 2),
    ("connections", "echo", {}, 17),
    ("addresses", "echo", {}, 2),
    ("depth", "echo", {}, 2),
    ("rpcs_per_connection", "echo", {}, 1),
    ("message", "echo", {}, "65B"),
    ("service_time.distribution", "spin", SPIN, "fixed"),
    ("service_time.mean", "spin", SPIN, "10001ns"),
    ("service_time.sigma", "spin", SPIN, 2.0),
    ("memcached.protocol", "memcached-text", {}, "binary"),
    ("memcached.profile", "memcached-text", {}, "usr"),
    ("memcached.keys", "memcached-text", {}, 9999),
    ("memcached.popularity", "memcached-text", {}, "zipf"),
    ("memcached.zipf_exponent", "memcached-text", FIXED, 1.2),
    ("memcached.key", "memcached-text", FIXED, "31B"),
    ("memcached.value", "memcached-text", FIXED, "201B"),
    ("memcached.get_share", "memcached-text", {}, "90%"),
    ("reply_timeout", "udp-echo", {}, "10ms"),
    ("rundown", "echo", {}, "2s"),
    ("stack", "echo", {}, "ix"),
    ("poll", "echo", {}, True),
    ("adherence.late_after", "echo", {}, "2ms"),
    ("adherence.min_on_time", "echo", {}, "98%"),
]
# The axis alone tells these apart: they change what counts, not what is sent.
ONLY_AS_AXIS = ("rundown", "adherence.late_after", "adherence.min_on_time")


def merged(base: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    return {**base, head: merged(base.get(head, {}), rest, value) if rest else value}


def curve(protocol: str, asked: dict[str, Any], axes: dict[str, str]) -> tuple[str, str]:
    workload = Workload.model_validate(asked)
    if protocol.startswith("memcached"):
        protocol = f"memcached-{workload.memcached.protocol}"
    trial = Trial(
        index=0,
        id="1",
        hash="1",
        kind="measure",
        variant="v",
        stack="linux",
        app="a",
        options={},
        generator="rbload",
        generator_options={},
        workload=workload,
        protocol=protocol,
        offered_rps=100.0 if workload.paced else None,
        point=axes,
        repetition=1,
        seed=1,
        warmup_ns=0,
        duration_ns=1,
        clock="wall",
        topology="t",
        machines={"client": "client", "server": "server"},
        trace_sha256="",
    )
    read = read_trial(Fields("trial.json", {**record(trial), "status": "ok"}))
    return read.subject, read.workload_label


@pytest.mark.parametrize(("key", "protocol", "base", "value"), CHANGES)
def test_every_field_changes_the_curve(
    key: str, protocol: str, base: dict[str, Any], value: Any
) -> None:
    axis = f"workload.{key}"
    before = curve(protocol, base, {axis: "as it was"} if key in ONLY_AS_AXIS else {})
    changed = merged(base, key, value)
    after = curve(protocol, changed, {axis: str(value)} if key in ONLY_AS_AXIS else {})
    assert before != after
    # As an axis, it is not said twice.
    if key not in ONLY_AS_AXIS:
        assert curve(protocol, changed, {axis: str(value)}) == after


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        inner = [one for one in (field.annotation, *_arguments(field.annotation)) if _model(one)]
        if inner:
            yield from keys(inner[0], f"{key}.")
        else:
            yield key


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__args__", ()))


def _model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)


def test_no_field_of_the_model_is_forgotten() -> None:
    assert sorted(keys(Workload)) == sorted(key for key, *_ in CHANGES)


def test_values_that_count_for_nothing_are_kept_apart_as_axes() -> None:
    base: dict[str, Any] = {"service_time": {"distribution": "fixed"}}
    key = "workload.service_time.sigma"
    assert curve("spin", base, {key: "1"}) != curve("spin", base, {key: "2"})


def test_a_workload_of_an_older_run_is_read() -> None:
    asked = {"protocol": "memcached-text", "mode": "open", "arrival": "poisson"}
    read = read_workload(Fields("trial.json", {**asked, "connections": 4, "threads": 1}))
    assert read.label == "memcached-text open poisson, 4 connections, 1 thread"
    assert replace(read, depth=2).label.endswith(", depth 2")
    assert "workload.memcached.keys" not in read.in_label


def test_the_claimed_max_load_is_that_of_the_named_workload(tmp_path: Path) -> None:
    import json

    run = RunBuilder(tmp_path)
    for connections, name in ((16, "16"), (64, "64")):
        for offered in LOADS[: 5 if connections == 16 else 2]:
            directory = run.trial(QUICKSTART[0], offered, 0)
            file = directory / "trial.json"
            trial = json.loads(file.read_text())
            trial["workload"]["connections"] = connections
            trial["axes"] = {"load": str(offered), "workload.connections": name}
            file.write_text(json.dumps(trial))
    from orchestrator.analysis.claims import Evaluator

    results = build_results(run.finish())
    evaluator = Evaluator(results.points, results.records, results.summaries)

    def reason(where: str) -> str:
        expression = f"linux-echo-single.max_load_under_slo{where} > 1"
        return evaluator.evaluate({"text": "", "expression": expression}).reason

    assert "means 2 curves" in reason("")
    assert "not reached" in reason("[workload.connections=64]")
    assert "not reached" not in reason("[workload.connections=16]")
