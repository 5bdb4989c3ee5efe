# SPDX-License-Identifier: Apache-2.0
"""From an experiment to trials: points, options, what concerns whom, hashes and seeds."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from orchestrator.errors import SpecError, UsageError
from orchestrator.run.compose import record
from orchestrator.run.plan import Plan, make_plan
from orchestrator.spec import load_experiment
from orchestrator.spec.registry import Application, Generator


class EchoOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    listen: Literal["single", "reuseport"] = "single"
    threads: int = 0


class Drivers:
    """A registry with one stack, two applications and a tool that speaks memcached only."""

    stacks: Mapping[str, Mapping[str, Application]] = {
        "linux": {
            "echo": Application(
                name="echo", protocol="echo", text="echo", options=EchoOptions, counted=True
            ),
            "memcached": Application(
                name="memcached", protocol="memcached", text="memcached", counted=True
            ),
        }
    }
    generators: Mapping[str, Generator] = {
        "memtool": Generator(
            name="memtool",
            text="a tool",
            protocols=frozenset({"memcached"}),
            modes=frozenset({"open", "closed"}),
        )
    }


TEXT = """\
schema: 1
name: trial
title: A trial
repetitions: 2
machines:
  client: {cpus: 1, memory: 256MiB}
  server: {cpus: 2, memory: 512MiB}
links:
  - ends: [{machine: client}, {machine: server}]
variants:
  single: {stack: linux, app: echo, options: {listen: single}}
  reuse: {stack: linux, app: echo, options: {listen: reuseport}}
  cache: {stack: linux, app: memcached}
matrix:
  load: [100, 200, 400]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def plan(folder: Path, text: str = TEXT, /, *overrides: str, **options: Any) -> Plan:
    path = folder / "trial.yml"
    path.write_text(text, encoding="utf-8")
    options.setdefault("inputs", {"image": "1", "dataplane": "2"})
    return make_plan(load_experiment(path, overrides), Drivers(), **options)


def points(made: Plan, variant: str, kind: str = "measure") -> list[dict[str, object]]:
    return [
        dict(trial.point)
        for trial in made.trials
        if trial.variant == variant and trial.kind == kind and trial.repetition == 1
    ]


def loads(made: Plan, variant: str) -> list[float]:
    return sorted(
        trial.offered_rps or 0
        for trial in made.trials
        if trial.variant == variant and trial.kind == "measure" and trial.repetition == 1
    )


def test_every_combination_is_measured_in_every_repetition(folder: Path) -> None:
    made = plan(folder)
    kinds = [trial.kind for trial in made.trials]
    assert kinds.count("measure") == 3 * 3 * 2
    assert kinds.count("accounting") == 3
    assert [trial.index for trial in made.trials] == list(range(21))
    assert len({trial.id for trial in made.trials}) == 21


def test_a_trial_says_all_that_is_asked(folder: Path) -> None:
    trial = next(trial for trial in plan(folder).trials if trial.variant == "reuse")
    assert (trial.stack, trial.app, trial.protocol) == ("linux", "echo", "echo")
    assert trial.options == {"listen": "reuseport", "threads": 0}
    assert trial.machines == {"client": "client", "server": "server"}
    assert trial.generator == "rbload"
    assert trial.duration_ns == 10**9
    entry = trial.to_json()
    assert entry["workload"]["protocol"] == "echo"
    assert entry["workload"]["message_bytes"] == 64
    assert "memcached" not in entry["workload"]
    assert "think_time_ns" not in entry["workload"]


def test_a_recorded_message_size_follows_the_protocol(folder: Path) -> None:
    made = {trial.variant: trial for trial in plan(folder).trials if trial.kind == "measure"}
    assert record(made["reuse"])["workload"]["message_bytes"] == 64
    assert record(made["cache"])["workload"]["message_bytes"] == 0
    renamed = replace(made["cache"], app="another")
    assert record(renamed)["workload"]["message_bytes"] == 0


def test_a_plan_is_json(folder: Path) -> None:
    made = plan(folder, TEXT, "crosscheck={generator: memtool}")
    again = json.loads(json.dumps(made.to_json()))
    assert again["demand"] == {"machines": 2, "cpus": 3, "memory_bytes": 768 * 2**20}
    assert len(again["trials"]) == len(made.trials)
    assert again["topologies"][0]["id"] == again["trials"][0]["topology"]


def test_a_variant_may_have_loads_of_its_own(folder: Path) -> None:
    made = plan(folder, TEXT, "variants.cache.load=[5, 7]")
    assert loads(made, "cache") == [5, 7]
    assert loads(made, "single") == [100, 200, 400]


def test_axes_that_do_not_concern_a_variant_are_left_out(folder: Path) -> None:
    made = plan(folder, TEXT, "matrix.options.threads=[1, 2]", "matrix.workload.message=[1B, 2B]")
    assert len(points(made, "single")) == 12
    assert len(points(made, "cache")) == 3
    assert made.warnings == (
        "matrix.options.threads does not concern cache",
        "matrix.workload.message does not concern cache",
        "latency_p999 needs 1000 requests: too few are expected at 100, 200, 400 requests/s "
        "(raise duration or load)",
    )
    threads = {trial.options["threads"] for trial in made.trials if trial.variant == "single"}
    assert threads == {1, 2}


def test_an_axis_that_concerns_nobody_is_an_error(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        plan(folder, TEXT, "matrix.options.thread=[1]")
    assert "matrix.options.thread: concerns none of the variants" in caught.value.message


def test_include_and_exclude(folder: Path) -> None:
    made = plan(
        folder,
        TEXT,
        "include=[{variant: single, load: 900}, {load: 100}]",
        "exclude=[{load: 200}, {variant: reuse, load: 400}]",
    )
    assert loads(made, "single") == [100, 400, 900]
    assert loads(made, "reuse") == [100]
    assert loads(made, "cache") == [100, 400]


def test_a_point_may_have_phases_of_its_own(folder: Path) -> None:
    entry = "{variant: single, load: 900, warmup: 0s, duration: 3s}"
    made = plan(folder, TEXT, "warmup=1s", f"include=[{entry}]")
    long = [trial for trial in made.trials if trial.offered_rps == 900]
    assert {(trial.warmup_ns, trial.duration_ns) for trial in long} == {(0, 3 * 10**9)}
    rest = {trial.warmup_ns for trial in made.trials if trial.offered_rps != 900}
    assert rest == {10**9}
    made = plan(folder, TEXT, "matrix.duration=[1s, 2s]")
    assert {trial.duration_ns for trial in made.trials} == {10**9, 2 * 10**9}


@pytest.mark.parametrize(
    "override", ["matrix.duration=[1s, 0s]", "include=[{load: 1, warmup: 5}]", "matrix.warmup=[x]"]
)
def test_phases_that_are_none_are_refused(folder: Path, override: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(folder, TEXT, override)
    assert override.partition("=")[0] in caught.value.message


def test_users_need_connections(folder: Path) -> None:
    mode, one = "workload.mode=closed", "matrix={variant: [single]}"
    made = plan(folder, TEXT, mode, "workload.users=16", one)
    assert {trial.workload.users for trial in made.trials} == {16}
    with pytest.raises(SpecError) as caught:
        plan(folder, TEXT, mode, "workload.users=17", one)
    assert "17 users do not fit 1 threads and 16 connections" in caught.value.message


def test_the_variant_axis_selects(folder: Path) -> None:
    made = plan(folder, TEXT, "matrix.variant=[cache]")
    assert {trial.variant for trial in made.trials} == {"cache"}


def test_closed_points_have_no_load(folder: Path) -> None:
    made = plan(folder, TEXT, "matrix.workload.mode=[open, closed]")
    closed = [trial for trial in made.trials if trial.workload.mode == "closed"]
    assert all(trial.offered_rps is None for trial in closed)
    assert sum(trial.kind == "measure" for trial in closed) == 3 * 2
    assert sum(trial.kind == "measure" for trial in made.trials) == 3 * (3 + 1) * 2


def test_other_machines_are_another_topology(folder: Path) -> None:
    made = plan(folder, TEXT, "matrix.machines.server.cpus=[1, 4]")
    assert [made.topology(t.id).node("server").cpus for t in made.topologies] == [1, 4]
    assert made.demand.cpus == 5
    order = [trial.topology for trial in made.trials]
    assert order == sorted(order, key=order.index), "each topology is one block"
    # The queues that the file leaves out follow the CPUs.
    assert [t.service_port("server").queues for t in made.topologies] == [1, 4]


def test_an_impossible_topology_of_two_axes_is_found(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        plan(
            folder,
            TEXT,
            "matrix.links.0.ends.1.nic=[igb, igb-vf]",
            "matrix.links.0.ends.1.queues=[1, 3]",
            "machines.server.cpus=4",
        )
    assert "igb-vf has 2 queues, not 3" in caught.value.message


def test_a_second_generator_gets_trials_of_its_own(folder: Path) -> None:
    made = plan(folder, TEXT, "crosscheck={generator: memtool}")
    crosschecks = [trial for trial in made.trials if trial.kind == "crosscheck"]
    assert {trial.variant for trial in crosschecks} == {"cache"}
    assert {trial.generator for trial in crosschecks} == {"memtool"}
    assert len(crosschecks) == 3 * 2
    measures = {t.seed for t in made.trials if t.variant == "cache" and t.kind == "measure"}
    assert {trial.seed for trial in crosschecks} == measures


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("variants.cache.stack=linus", "there is no stack linus", "did you mean linux?"),
        (
            "variants.cache.app=memcache",
            "the stack linux has no application memcache",
            "did you mean memcached?",
        ),
        ("variants.single.options.listn=single", "unknown key", "did you mean listen?"),
        (
            "variants.single.options.listen=reusport",
            "'reusport' is not one of single, reuseport",
            "did you mean reuseport?",
        ),
        (
            "crosscheck={generator: memtol}",
            "there is no generator memtol",
            "did you mean memtool?",
        ),
    ],
)
def test_what_drivers_do_not_know(folder: Path, override: str, message: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(folder, TEXT, override)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"--set {override}: ")
    assert caught.value.hint == hint


def test_a_crosscheck_that_cannot_drive_anything_is_refused(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        plan(folder, TEXT.replace("app: memcached", "app: echo"), "crosscheck={generator: memtool}")
    assert "memtool can drive none of the variants" in caught.value.message
    assert caught.value.hint == "it speaks memcached, in closed, open loop"


def test_a_wrong_value_of_an_option_axis_is_told_at_the_axis(folder: Path) -> None:
    text = TEXT + "  options.threads: [1, many]\n"
    with pytest.raises(SpecError) as caught:
        plan(folder, text)
    assert caught.value.message.partition(": ")[2].startswith("matrix.options.threads: 'many'")
    assert caught.value.line == 16


def test_hashes_change_with_what_changes_results_and_nothing_else(folder: Path) -> None:
    def hashes(*overrides: str, **options: Any) -> set[str]:
        return {trial.hash for trial in plan(folder, TEXT, *overrides, **options).trials}

    base = hashes()
    assert hashes() == base
    for same in (
        "title=Other",
        "slo={metric: latency_p99, limit: 1ms}",
        "metrics=[errors]",
        "matrix.load=[400, 200, 100]",
    ):
        assert hashes(same) == base, same
    for other in (
        "duration=2s",
        "warmup=1s",
        "workload.connections=3",
        "image=other",
        "machines.server.memory=1GiB",
        "links.0.delay=1ms",
        "seed=2",
    ):
        assert not hashes(other) & base, other
    assert not hashes(inputs={"image": "1", "dataplane": "3"}) & base
    assert hashes("repetitions=3") > base
    only_echo = hashes("workload.message=128B") & base
    assert len(only_echo) == 7, "a message size does not concern memcached"


def test_variants_meet_the_same_arrivals_at_a_point(folder: Path) -> None:
    seeds: dict[tuple[object, int], set[int]] = {}
    for trial in plan(folder).trials:
        seeds.setdefault((trial.offered_rps, trial.repetition), set()).add(trial.seed)
    assert all(len(same) == 1 for same in seeds.values())
    assert len({seed for same in seeds.values() for seed in same}) == len(seeds) == 6
    assert all(0 <= seed < 2**53 for same in seeds.values() for seed in same)


def test_the_seed_can_be_replaced(folder: Path) -> None:
    made = plan(folder, seed=77)
    assert made.seed == 77
    assert {t.seed for t in made.trials} == {t.seed for t in plan(folder, TEXT, "seed=77").trials}


def test_a_trace_sets_the_pace_and_its_content_counts(folder: Path) -> None:
    (folder / "t.trace").write_text("0 5\n", encoding="utf-8")
    overrides = ("matrix={}", "workload.arrival=trace", "workload.trace.file=t.trace")
    first = plan(folder, TEXT, *overrides)
    assert {trial.offered_rps for trial in first.trials} == {None}
    assert len(first.trials[0].trace_sha256) == 64
    (folder / "t.trace").write_text("0 6\n", encoding="utf-8")
    second = plan(folder, TEXT, *overrides)
    assert {t.hash for t in first.trials}.isdisjoint(t.hash for t in second.trials)


@pytest.mark.parametrize(
    ("only", "count"),
    [
        (("cache",), 7),
        (("s*", "reuse"), 14),
        (("kind=accounting",), 3),
        (("load=100",), 6),
        (("load=100", "load=200", "single"), 5),
        (("repetition=2", "variant=cache"), 3),
        (("app=echo", "load=1e2"), 4),
    ],
)
def test_only_filters(folder: Path, only: tuple[str, ...], count: int) -> None:
    full = {trial.hash for trial in plan(folder).trials}
    made = plan(folder, only=only)
    assert {trial.hash for trial in made.trials} <= full
    assert len(made.trials) == count


def test_nothing_left_says_what_there_is(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        plan(folder, only=("singel",))
    assert caught.value.message == "--only singel leaves no trial"
    assert caught.value.details == "variants: single, reuse, cache\nload: 100, 200, 400"
    assert caught.value.hint == "did you mean single?"
    with pytest.raises(UsageError) as caught:
        plan(folder, only=("lod=3",))
    assert caught.value.hint == "did you mean load?"


def test_repeat(folder: Path) -> None:
    assert plan(folder, repeat=1).repetitions == 1
    with pytest.raises(UsageError):
        plan(folder, repeat=0)


def test_trials_are_values(folder: Path) -> None:
    trial = plan(folder).trials[0]
    assert replace(trial, index=5).id == trial.id
