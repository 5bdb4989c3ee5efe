# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from orchestrator import paths, provision
from orchestrator.errors import ProvisionError
from orchestrator.provision import machines
from orchestrator.provision.machines import Interface, Login, Settings, VirtualFunction
from orchestrator.provision.playbook import TaskResult, failure_text

LOGIN = Login(port=2222, key=Path("/k"), known_hosts=Path("/h"), host_alias="guest")


def test_settings_become_the_words_of_the_guest_programs() -> None:
    settings = Settings(
        hugepages={2048: 64},
        virtual_functions=[
            VirtualFunction(
                port="eth1", mac="02:00:00:00:00:01", name="vf0", address="10.0.0.1/24"
            ),
            VirtualFunction(port="eth1", mac="02:00:00:00:00:02"),
        ],
        interfaces=[
            Interface(name="vf0", queues=2, rx_usecs=0, features={"tso": False, "gro": True})
        ],
        sysctls={"net.core.somaxconn": "4096"},
        spread_irqs=True,
        vfio=["0000:02:10.1"],
    )
    assert settings.variables() == {
        "mechanisms": ["hugepages", "sriov", "linux_stack", "tuning", "vfio"],
        "hugepages_pages": ["2048=64"],
        "sriov_ports": [
            "eth1,02:00:00:00:00:01,vf0,10.0.0.1/24",
            "eth1,02:00:00:00:00:02,-,-",
        ],
        "linux_stack_interfaces": ["vf0,queues=2,rx_usecs=0,gro=on,tso=off"],
        "tuning_arguments": ["net.core.somaxconn=4096", "irqs=spread"],
        "vfio_devices": ["0000:02:10.1"],
    }


def test_every_mechanism_is_a_role_with_a_program_and_a_default() -> None:
    everything = Settings(
        hugepages={2048: 1},
        virtual_functions=[VirtualFunction(port="p", mac="m")],
        interfaces=[Interface(name="i")],
        spread_irqs=True,
        vfio=["v"],
    ).variables()
    for role in everything["mechanisms"]:
        place = paths.project("playbooks", "roles", role)
        assert (place / "files" / role).stat().st_mode & 0o111
        assert (place / "tasks" / "runtime.yml").is_file()
        defaults = (place / "defaults" / "main.yml").read_text(encoding="utf-8")
        assert any(f"\n{key}:" in defaults for key in everything if key.startswith(role))


def test_nothing_asked_for_needs_no_playbook(tmp_path: Path) -> None:
    asked = {"server": (LOGIN, Settings())}
    found = provision.configure_machines(asked, deadline_s=1, log=tmp_path / "log")
    assert found == {"server": {}}
    assert not (tmp_path / "log").exists()


def test_output_that_is_no_json_is_an_error_with_the_output() -> None:
    result = TaskResult(host="server", role="tuning", task="t", result={"stdout": "oops"})
    with pytest.raises(ProvisionError, match="server: tuning printed no JSON") as caught:
        machines._read_back(result)
    assert caught.value.details == "oops"


def test_a_failed_module_is_told_by_what_it_printed() -> None:
    result = {"msg": "non-zero return code", "stderr": "vfio: no IOMMU\n", "stdout": ""}
    assert failure_text(result) == "vfio: no IOMMU\nnon-zero return code"
    assert failure_text({}) == "no message"


def test_what_ethtool_prints_is_unwrapped() -> None:
    printed = """{"eth1": {"driver": "igb", "queues": {"rx": 2, "tx": 2}, "rings": null,
        "coalesce": [{"ifname": "eth1", "rx-usecs": 0}],
        "features": [{"ifname": "eth1", "rx-gro": {"active": true, "fixed": false}}]}}"""
    result = TaskResult(host="server", role="linux_stack", task="t", result={"stdout": printed})
    assert machines._read_back(result) == {
        "eth1": {
            "driver": "igb",
            "queues": {"rx": 2, "tx": 2},
            "rings": None,
            "coalesce": {"rx-usecs": 0},
            "features": {"rx-gro": True},
        }
    }
