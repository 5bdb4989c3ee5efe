# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import paths
from orchestrator.errors import SpecError
from orchestrator.spec import Experiment, load_experiment
from orchestrator.spec.axes import axis_values
from orchestrator.spec.units import format_duration, format_size

QUICKSTART = paths.project("experiments", "quickstart", "experiment.yml")


def load(*overrides: str) -> Experiment:
    return load_experiment(QUICKSTART, overrides)


def failure(*overrides: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(*overrides)
    return caught.value


def test_every_kind_of_key_can_be_set() -> None:
    experiment = load(
        "repetitions=5",
        "workload.message=128B",
        "workload.memcached.keys=7",
        "links.0.delay=1ms",
        "links.0.ends.1.queues=1",
        "machines.server.memory=1GiB",
        "matrix.load=[100, 2k]",
        "variants.linux-memcached.workload.connections=3",
        "variants.linux-memcached.options.threads=1",
        "matrix.workload.depth=[1, 2]",
        "slo.limit=20ms",
    )
    assert experiment.repetitions == 5
    assert experiment.workload.message_bytes == 128
    assert experiment.workload.memcached.keys == 7
    assert experiment.links[0].delay_ns == 1_000_000
    assert experiment.links[0].ends[1].queues == 1
    assert experiment.machines["server"].memory_bytes == 2**30
    assert axis_values(experiment.matrix["load"]) == (100, "2k")
    assert axis_values(experiment.matrix["workload.depth"]) == (1, 2)
    assert experiment.variants["linux-memcached"].workload == {"connections": 3}
    assert experiment.variants["linux-memcached"].options == {"threads": 1}
    assert experiment.slo is not None and experiment.slo.limit_ns == 20_000_000
    assert experiment.source.overrides[0] == "repetitions=5"


def test_the_last_one_wins() -> None:
    assert load("seed=4", "seed=5").seed == 5


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("repetition=5", "repetition: unknown key", "did you mean repetitions?"),
        ("conections=4", "conections: unknown key", "did you mean workload.connections?"),
        ("connections=4", "connections: unknown key", "did you mean workload.connections?"),
        ("load=100", "load: unknown key", "did you mean matrix.load?"),
        (
            "variants.linux-echo-singel.app=spin",
            "variants.linux-echo-singel.app: unknown key",
            "did you mean variants.linux-echo-single.app?",
        ),
        (
            "workload.memcached.keyz=1",
            "workload.memcached.keyz: unknown key",
            "did you mean workload.memcached.key?",
        ),
        ("links.3.delay=1ms", "links.3.delay: links has 1 entry, counted from 0", ""),
        (
            "workload.message=64",
            "workload.message: 64 has no unit; did you mean 64B?",
            "",
        ),
        ("machines.server.cpus=x", "machines.server.cpus: 'x' is no whole number", ""),
        ("seed", "is not of the form key=value", ""),
        (
            "workload.memcached=[1",
            "workload.memcached: no YAML: expected ',' or ']', but got '<stream end>', while "
            "parsing a flow sequence",
            "",
        ),
    ],
)
def test_errors_name_the_argument(override: str, message: str, hint: str) -> None:
    error = failure(override)
    assert error.message == f"--set {override}: {message}"
    assert error.hint == hint


def test_setting_what_the_matrix_varies_is_refused() -> None:
    error = failure("matrix.workload.connections=[1, 2]", "workload.connections=4")
    assert error.message == (
        "--set workload.connections=4: workload.connections: has no effect: "
        "matrix varies workload.connections"
    )
    assert error.hint == "set matrix.workload.connections instead"


def test_faults_of_arguments_and_file_come_together(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(QUICKSTART.read_text(encoding="utf-8").replace("clock: auto", "clokc: auto"))
    with pytest.raises(SpecError) as caught:
        load_experiment(path, ["sed=3"])
    assert "clokc: unknown key (did you mean clock?)" in caught.value.details
    assert "--set sed=3: sed: unknown key (did you mean seed?)" in caught.value.details


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 10**13), st.integers(1, 65536), st.integers(0, 2**53 - 1))
def test_values_round_trip(duration: int, message: int, seed: int) -> None:
    experiment = load(
        f"duration={format_duration(duration)}",
        f"workload.message={format_size(message)}",
        f"seed={seed}",
    )
    assert experiment.duration_ns == duration
    assert experiment.workload.message_bytes == message
    assert experiment.seed == seed


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet="abcdelmorstuvwx.=0123[]{}:, -", max_size=30))
def test_any_argument_is_applied_or_refused(argument: str) -> None:
    try:
        load(argument)
    except SpecError as error:
        assert error.message
