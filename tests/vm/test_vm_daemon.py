# SPDX-License-Identifier: Apache-2.0
"""Guests through a libvirt daemon, as with qemu:///system.

The daemon runs in a mount namespace in which /etc, /run and /var are empty, so that it neither
finds nor leaves anything on this host.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import every_nic

from orchestrator import process
from orchestrator.errors import HostError
from orchestrator.vm.hypervisor import Hypervisor, HypervisorOptions
from orchestrator.vm.model import Boot, Topology
from orchestrator.vm.state import new_token

pytestmark = pytest.mark.vm

READ = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "alternatives", "resolv.conf")


def private_mounts(places: Path) -> list[str]:
    words = ["bwrap", "--dev-bind", "/", "/", "--die-with-parent"]
    for empty in ("/etc", "/run", "/var"):
        words += ["--tmpfs", empty]
    for name in READ:
        if Path("/etc", name).exists():
            words += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    return [*words, "--ro-bind", str(places / "qemu.conf"), "/etc/libvirt/qemu.conf"]


@pytest.fixture(scope="module")
def uri(own_places: Path) -> Iterator[str]:
    daemon = shutil.which("libvirtd")
    if daemon is None:
        pytest.skip("the tools tree has no libvirtd")
    places = own_places / "daemon"
    places.mkdir()
    (places / "qemu.conf").write_text(
        'stdio_handler = "file"\nsecurity_driver = "none"\nnamespaces = []\n'
        "cgroup_controllers = []\n",
        encoding="utf-8",
    )
    (places / "libvirtd.conf").write_text(
        f'unix_sock_dir = "{places}"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n',
        encoding="utf-8",
    )
    argv = [*private_mounts(places), daemon, "-f", str(places / "libvirtd.conf")]
    with process.background(argv, log=places / "log"):
        socket = places / "libvirt-sock"
        end = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield f"qemu:///system?socket={socket}"


def test_guests_live_through_a_daemon(uri: str, boot: Boot, own_places: Path) -> None:
    readable = own_places / "image"
    shutil.copytree(boot.root.parent, readable)
    moved = Boot(
        kernel=readable / boot.kernel.name,
        initrd=readable / boot.initrd.name,
        root=readable / boot.root.name,
        image_id=boot.image_id,
    )
    whole = every_nic(moved)
    machines = tuple(
        replace(machine, cpus=1, viommu=False, nics=(replace(machine.nics[0], queues=1),))
        for machine in whole.machines
    )
    topology = Topology(machines=machines, links=whole.links[:1])
    token = new_token()
    with Hypervisor(token, HypervisorOptions(connect=uri)) as hypervisor:
        group = hypervisor.define(topology, own_places / "run")
        group.up(deadline_s=300)
        assert group["client"].run(["ping", "-c", "1", "10.1.0.2"])
        assert f"ringbed-{token}-client" in group["client"].domain_xml
        state = hypervisor.state_directory
    assert not state.exists()


def test_no_daemon_is_an_error_with_a_hint(own_places: Path) -> None:
    absent = f"qemu:///system?socket={own_places}/libvirt-sock"
    with pytest.raises(HostError, match="start libvirt's daemon"):
        Hypervisor(new_token(), HypervisorOptions(connect=absent)).__enter__()
