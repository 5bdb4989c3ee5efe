# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import UsageError
from orchestrator.spec import (
    Experiment,
    dump_experiment,
    find_experiment,
    load_experiment,
    render_experiment,
)
from orchestrator.spec.metrics import find_metric
from orchestrator.spec.topology import make_topology

FOLDER = paths.project("experiments")
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/experiment.yml"))


def test_a_name_a_folder_and_a_file_are_found() -> None:
    file = FOLDER / "quickstart" / "experiment.yml"
    assert find_experiment("quickstart") == file
    assert find_experiment(str(file)) == file
    assert find_experiment(str(file.parent)) == file


def test_a_misspelt_name_names_the_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        find_experiment("quikstart")
    assert caught.value.message == "there is no experiment quikstart"
    assert caught.value.hint == "did you mean quickstart?"
    with pytest.raises(UsageError) as caught:
        find_experiment("zzz", FOLDER / "nowhere")
    assert caught.value.hint == "experiments: none"


@pytest.mark.parametrize("name", NAMES)
def test_the_experiments_of_the_project_are_sound(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = load_experiment(find_experiment(name))
    assert experiment.name == name
    assert caplog.messages == []
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8").startswith(f"# {name}\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_dumped_experiment_is_the_same_experiment(name: str, tmp_path: Path) -> None:
    experiment = load_experiment(find_experiment(name))
    path = tmp_path / "experiment.yml"
    path.write_text(render_experiment(experiment), encoding="utf-8")
    again = load_experiment(path)
    assert dump_experiment(again) == dump_experiment(experiment)
    assert list(again.variants) == list(experiment.variants)
    assert list(again.matrix) == list(experiment.matrix)


def test_models_are_frozen() -> None:
    experiment = load_experiment(find_experiment("quickstart"))
    with pytest.raises(ValueError, match="frozen"):
        setattr(experiment, "seed", 3)  # noqa: B010


def test_the_source_knows_every_place() -> None:
    source = load_experiment(find_experiment("quickstart"), ["seed=9"]).source
    lines = source.path.read_text(encoding="utf-8").splitlines()
    mark = source.key_mark(("variants", "linux-memcached", "app"))
    assert lines[mark.line - 1][mark.column - 1 :] == "app: memcached"
    assert source.value_mark(("seed",)).origin == "--set seed=9"
    assert len(source.sha256) == 64


def test_trace_files_are_read_for_their_hash(tmp_path: Path) -> None:
    text = (FOLDER / "quickstart" / "experiment.yml").read_text(encoding="utf-8")
    path = tmp_path / "experiment.yml"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "bursts.trace").write_text("0 10\n", encoding="utf-8")
    experiment = load_experiment(
        path, ["workload.arrival=trace", "workload.trace.file=bursts.trace", "matrix={}"]
    )
    assert list(experiment.source.files) == ["bursts.trace"]
    assert not experiment.workload.paced


def minimal(**changes: object) -> Experiment:
    data: dict[str, object] = {
        "schema": 1,
        "name": "x",
        "title": "x",
        "machines": {"load": {"role": "client"}, "server": {"cpus": 4}},
        "links": [
            {"ends": [{"machine": "load"}, {"machine": "server", "nic": "igb-vf"}]},
            {"ends": [{"machine": "server"}, {"machine": "load"}], "delay": "1ms", "loss": "1%"},
        ],
        "variants": {"v": {"stack": "linux", "app": "echo"}},
    }
    return Experiment.model_validate(data | changes)


def test_addresses_queues_and_roles_are_derived() -> None:
    topology = make_topology(minimal())
    client, server = topology.node("client"), topology.node("server")
    assert (client.name, server.name) == ("load", "server")
    assert [port.queues for port in server.ports] == [1, 4]
    assert [port.ifname for port in server.ports] == ["link0", "link1"]
    assert server.ports[0].cidr() == "198.18.0.2/24"
    assert client.ports[1].address() == "198.18.1.2"
    assert topology.service_cable().index == 0
    assert topology.service_port("client") == client.ports[0]
    assert topology.cables[1].delay_ns == 1_000_000
    assert topology.cables[1].loss == 0.01
    assert topology.demand.cpus == 5
    assert topology.demand.memory_bytes == 2 * 768 * 2**20


def test_no_address_and_no_mac_stands_twice() -> None:
    topology = make_topology(minimal())
    ports = [port for cable in topology.cables for port in cable.ports]
    addresses = [port.address(number) for port in ports for number in range(120)]
    assert len(set(addresses)) == len(addresses)
    assert len({port.mac for port in ports}) == len(ports)
    assert all(0 < int(address.rpartition(".")[2]) < 255 for address in addresses)
    with pytest.raises(ValueError, match="no address 120"):
        ports[0].address(120)


def test_equal_topologies_have_equal_ids() -> None:
    assert make_topology(minimal()).id == make_topology(minimal(seed=5)).id
    other = minimal(machines={"load": {"role": "client"}, "server": {"cpus": 2}})
    assert make_topology(minimal()).id != make_topology(other).id


def test_metrics_are_found_by_name_and_by_family() -> None:
    found = find_metric("errors_reset")
    assert found is not None and found.unit == "requests"
    assert find_metric("served_thread1") is not None
    assert find_metric("served_threadx") is None
    own = minimal(metrics=["errors", {"name": "steals", "unit": "1/s", "direction": "lower"}])
    steals = own.metric_definition("steals")
    assert steals is not None and steals.direction == "lower"
    assert own.metric_names() == ("errors", "steals")
