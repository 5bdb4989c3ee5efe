# SPDX-License-Identifier: Apache-2.0
"""Guests through a libvirt daemon: here as with qemu:///system, and elsewhere by qemu+ssh.

Daemon and sshd run in a mount namespace in which /etc, /run and /var are their own. So they find
and leave nothing on this host, and what a "remote" guest needs has to be brought there. Two of
them are two hosts, as far as ringbed can tell.
"""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import every_nic
from leftovers import Ringbed

from orchestrator import process
from orchestrator.errors import HostError, UsageError
from orchestrator.host.owned import new_token
from orchestrator.host.ports import lease_port
from orchestrator.vm.hypervisor import Hypervisor, HypervisorOptions
from orchestrator.vm.keys import guest_keys
from orchestrator.vm.model import Boot, Topology
from orchestrator.vm.slots import Amount, lease_slot

pytestmark = pytest.mark.daemon

# Without hosts, libvirt asks a name server for its own name, for minutes.
LINKED = ("hosts", "nsswitch.conf", "ld.so.cache", "alternatives", "resolv.conf")
SSHD_USER = "sshd:x:64056:65534::/run/sshd:/usr/sbin/nologin\n"
QEMU_CONF = """
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
"""
SSHD_CONF = """
ListenAddress 127.0.0.1:{port}
HostKey {keys.host}
AuthorizedKeysFile {places}/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""


def begin(places: Path, port: int) -> list[str]:
    """The command that runs libvirtd and sshd, having written their configuration."""
    keys = guest_keys()
    users = Path("/etc/passwd").read_text(encoding="utf-8")
    more = "" if "\nsshd:" in users else SSHD_USER
    (places / "passwd").write_text(users + more, encoding="utf-8")
    shutil.copy("/etc/group", places / "group")
    (places / "qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
    (places / "authorized_keys").write_text(keys.authorized_key, encoding="utf-8")
    (places / "libvirtd.conf").write_text('auth_unix_rw = "none"\n', encoding="utf-8")
    sshd = SSHD_CONF.format(port=port, keys=keys, places=places)
    (places / "sshd_config").write_text(sshd, encoding="utf-8")
    words = ["bwrap", "--dev-bind", "/", "/", "--die-with-parent"]
    for empty in ("/etc", "/run", "/var"):
        words += ["--perms", "0755", "--tmpfs", empty]
    for name in LINKED:
        if Path("/etc", name).exists():
            words += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    for name in ("passwd", "group"):
        words += ["--ro-bind", str(places / name), f"/etc/{name}"]
    words += ["--ro-bind", str(places / "qemu.conf"), "/etc/libvirt/qemu.conf"]
    words += ["--bind", str(places / "run"), "/run/libvirt"]
    script = (
        "mkdir -m 755 /run/sshd; mkdir -m 1777 /var/tmp; ln -s /run /var/run; "
        f"{shutil.which('sshd')} -D -e -f {places}/sshd_config & "
        f"exec libvirtd -f {places}/libvirtd.conf"
    )
    # libvirt waits for the end of each QEMU that it asks for its abilities, and these are daemons:
    # somebody has to reap them at once, which not every machine's first process does.
    return [*words, "tini", "-s", "-g", "--", "sh", "-c", script]


@contextmanager
def host(places: Path) -> Iterator[tuple[Path, int]]:
    """A running daemon: the path of its socket, and the port of the sshd beside it."""
    (places / "run").mkdir(parents=True)
    with (
        lease_port() as lease,
        process.background(begin(places, lease.port), log=places / "log"),
    ):
        path = places / "run" / "libvirt-sock"
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with socket.socket() as probe:
                if path.exists() and not probe.connect_ex(("127.0.0.1", lease.port)):
                    break
            time.sleep(0.05)
        yield path, lease.port


@pytest.fixture(scope="module")
def daemon(own_places: Path) -> Iterator[tuple[Path, int]]:
    if shutil.which("libvirtd") is None or shutil.which("sshd") is None:
        pytest.skip("the tools tree has no libvirtd or no sshd")
    with host(own_places / "daemon") as found:
        yield found


def remote_uri(own_places: Path, port: int) -> str:
    """How that host is reached; with nothing of this user's own ssh: neither configuration nor
    known hosts."""
    keys = guest_keys()
    ssh = own_places / f"ssh-{port}"
    known = own_places / f"known_hosts-{port}"
    known.write_text(f"[127.0.0.1]:{port} {keys.host_public}\n", encoding="utf-8")
    ssh.write_text(
        f'#!/bin/sh\nexec ssh -F none -i {keys.user} -o UserKnownHostsFile={known} "$@"\n',
        encoding="utf-8",
    )
    ssh.chmod(0o755)
    return f"qemu+ssh://root@127.0.0.1:{port}/system?command={ssh}"


def plain_pair(boot: Boot) -> Topology:
    """Two guests and one igb link."""
    whole = every_nic(boot)
    machines = tuple(
        replace(machine, cpus=1, viommu=False, nics=(replace(machine.nics[0], queues=1),))
        for machine in whole.machines
    )
    return Topology(machines=machines, links=whole.links[:1])


def test_guests_live_through_a_daemon(
    daemon: tuple[Path, int], boot: Boot, own_places: Path
) -> None:
    # The daemon's user cannot look into everybody's cache.
    readable = own_places / "image"
    shutil.copytree(boot.root.parent, readable)
    moved = Boot(
        kernel=readable / boot.kernel.name,
        initrd=readable / boot.initrd.name,
        root=readable / boot.root.name,
        image_id=boot.image_id,
    )
    token = new_token()
    options = HypervisorOptions(connect=f"qemu:///system?socket={daemon[0]}")
    with Hypervisor(token, options) as hypervisor:
        group = hypervisor.define(plain_pair(moved), own_places / "near")
        group.up(deadline_s=300)
        assert group["client"].run(["ping", "-c", "1", "10.1.0.2"])
        assert f"ringbed-{token}-client" in group["client"].domain_xml
        state = hypervisor.state_directory
    assert not state.exists()


def test_a_guest_lives_on_another_host(
    daemon: tuple[Path, int], boot: Boot, own_places: Path
) -> None:
    uri = remote_uri(own_places, daemon[1])
    client = replace(plain_pair(boot).machines[0], nics=())
    with Hypervisor(new_token(), HypervisorOptions(connect=uri)) as hypervisor:
        group = hypervisor.define(Topology(machines=(client,)), own_places / "far")
        group.up(deadline_s=300)
        machine = group["client"]
        assert machine.run(["hostname"]) == "client\n"
        assert "ringbed: ready" in machine.console_log.read_text("utf-8", "replace")
        kernel = machine.domain_xml.split("<kernel>")[1].split("<")[0]
        assert kernel.startswith("/var/tmp/ringbed-")
        assert not Path(kernel).exists()
        with pytest.raises(UsageError, match="another host"):
            hypervisor.lease("test")
        state = hypervisor.state_directory
    assert not state.exists()


def test_two_hosts_share_the_trials_in_leased_slots(
    daemon: tuple[Path, int], own_places: Path, ringbed: Ringbed, tiny: str
) -> None:
    with host(own_places / "second") as second:
        hosts = [remote_uri(own_places, port) for port in (daemon[1], second[1])]
        whole = Amount(cores=os.cpu_count() or 1, mib=4096)
        words = [word for uri in hosts for word in ("--connect", uri)]
        # A set of guests wants two cores at least, so that a host has no more than cores / 2 slots.
        fit = max(1, whole.cores // 2)
        trials = 2 * fit
        command = ringbed.start(
            "run", tiny, "--json", *words, "--repeat", str(trials), "-j", str(trials + 2)
        )

        def slots() -> int:
            logs = list(ringbed.places.runs.glob("*/log.jsonl"))
            return sum(log.read_text(encoding="utf-8").count(" is on qemu+ssh") for log in logs)

        command.until(lambda: slots() == trials, "the slots", 120)
        # Another ringbed, at the same time, gets none of the cores that are taken.
        everything = Amount(cores=whole.cores, mib=1)
        for uri in hosts:
            assert lease_slot(uri, everything, whole, own_places / "lease.log") is None
        done = command.wait(900)
        assert done.code == 0, done.err
        run = Path(json.loads(done.out)["path"])
        log = (run / "log.jsonl").read_text(encoding="utf-8")
        for uri in hosts:
            assert log.count(f"is on {uri}") == fit
            lease = lease_slot(uri, everything, whole, own_places / "lease.log")
            assert lease is not None
            lease.close()
        assert len(list((run / "trials").glob("*/load.json"))) == trials
        assert ringbed.places.clean_within(), ringbed.places.leftovers()


def test_no_daemon_is_an_error_with_a_hint(own_places: Path) -> None:
    absent = f"qemu:///system?socket={own_places}/libvirt-sock"
    with pytest.raises(HostError, match="start libvirt's daemon"):
        Hypervisor(new_token(), HypervisorOptions(connect=absent)).__enter__()
