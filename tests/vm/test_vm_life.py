# SPDX-License-Identifier: Apache-2.0
"""The life of guests: snapshots, failures, leases, and what is left when somebody is killed."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import single

from orchestrator import paths
from orchestrator.errors import MachineError, StepError, UsageError
from orchestrator.host.owned import new_token
from orchestrator.host.ports import LOOPBACK, PortLease, lease_port
from orchestrator.vm import lease, sweep
from orchestrator.vm.group import Group
from orchestrator.vm.hypervisor import Hypervisor
from orchestrator.vm.machine import PORT_ATTEMPTS, Machine, MachineState
from orchestrator.vm.model import Boot

pytestmark = pytest.mark.vm

SCRIPT = Path(__file__).with_name("hold_machines.py")
type Hold = Callable[..., subprocess.Popen[str]]


def traces(token: str) -> list[str]:
    """All that can be left of a run: processes, sockets, mounts, directories, snapshots."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(f"/{token}/".encode() in word for word in words):
            found.append(f"process {words[0].decode()}")
    for table in ("/proc/net/unix", "/proc/mounts"):
        lines = Path(table).read_text(encoding="utf-8").splitlines()
        found += [line for line in lines if f"/{token}/" in line]
    found += [str(path) for path in paths.state().glob(f"{token}*")]
    found += [str(path) for path in paths.cache("snapshots").glob(f".*.{token}")]
    return found


def gone(token: str) -> bool:
    """Whether everything has gone, given a moment: the kernel closes sockets after processes."""
    end = time.monotonic() + 5
    while traces(token) and time.monotonic() < end:
        time.sleep(0.05)
    return not traces(token)


@pytest.fixture
def hold(boot: Boot, own_places: Path) -> Iterator[Hold]:
    """Starts processes that hold a guest, and ends them."""
    with ExitStack() as stack:

        def begin(token: str, *rest: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [
                    sys.executable,
                    SCRIPT,
                    token,
                    own_places / token,
                    boot.kernel,
                    boot.initrd,
                    boot.root,
                    *rest,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(paths.PROJECT)},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_guests_continue_from_snapshots_in_seconds(pair: Group) -> None:
    pair.destroy()
    pair.up()
    for machine in pair:
        record = machine.boot
        assert record is not None
        assert record.how == "snapshot"
        now = float(machine.run(["date", "+%s"]))
        assert abs(now - time.time()) < 5


def test_a_panic_is_reported_as_one(pair: Group) -> None:
    client = pair["client"]
    connection = client.ssh()
    with pytest.raises(MachineError, match="kernel panicked: sysrq triggered crash") as caught:
        connection.run(
            "(sleep 0.2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &", hide=True, in_stream=False
        )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            client.check()
            time.sleep(0.02)
    assert caught.value.machine == "client"
    assert "sysrq: Trigger a crash" in caught.value.details
    assert str(client.console_log) in caught.value.hint
    assert client.state is MachineState.FAILED
    with pytest.raises(MachineError, match="panicked"):
        client.run(["true"])
    pair["server"].check()
    pair.destroy()
    pair.up()
    client.run(["true"])


def test_a_guest_that_ends_by_itself_is_noticed(pair: Group) -> None:
    server = pair["server"]
    server.run("(sleep 0.2; poweroff -f) >/dev/null 2>&1 &")
    with pytest.raises(MachineError, match="ended by itself|panicked"):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            server.check()
            time.sleep(0.02)
    pair.destroy()
    pair.up()


def test_a_killed_qemu_is_noticed(pair: Group) -> None:
    os.kill(pair["server"].pid, signal.SIGKILL)
    with pytest.raises(MachineError, match="ended by itself"):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pair["server"].check()
            time.sleep(0.02)
    pair.destroy()
    pair.up()


def test_a_failing_command_is_a_step_error(pair: Group) -> None:
    with pytest.raises(StepError, match="status 3"):
        pair["client"].run("echo wrong >&2; exit 3")
    with pytest.raises(StepError, match="did not end"):
        pair["client"].run(["sleep", "30"], deadline_s=1)
    pair["client"].run(["true"])


def test_a_damaged_snapshot_is_replaced_by_a_cold_boot(
    pair: Group, caplog: pytest.LogCaptureFixture
) -> None:
    client = pair["client"]
    snapshot = pair.cache.find(pair.snapshot_key(client))
    assert snapshot is not None
    pair.destroy()
    with snapshot.memory.open("r+b") as file:
        file.seek(200)
        file.write(b"damage")
    pair.up(deadline_s=300)
    assert client.boot is not None
    assert client.boot.how == "cold"
    assert "its file is damaged" in caplog.text
    assert pair.cache.find(pair.snapshot_key(client)) is not None


@pytest.fixture
def solo(hypervisor: Hypervisor, boot: Boot, own_places: Path) -> Iterator[Machine]:
    """A guest that nobody else uses; not started."""
    name = f"solo-{new_token()}"
    group = hypervisor.define(single(boot, name), own_places / "solo")
    with group[name] as machine:
        yield machine


def test_a_missing_kernel_is_found_before_the_start(solo: Machine, boot: Boot) -> None:
    solo.config = replace(solo.config, boot=replace(boot, kernel=Path("/nowhere/vmlinux")))
    with pytest.raises(MachineError, match="kernel image /nowhere/vmlinux cannot be read"):
        solo.start()
    assert solo.state is MachineState.DEFINED


def test_a_kernel_that_is_none_is_reported(solo: Machine, boot: Boot, tmp_path: Path) -> None:
    rubbish = own_rubbish(tmp_path)
    solo.config = replace(solo.config, boot=replace(boot, kernel=rubbish))
    with pytest.raises(MachineError, match="cannot be started") as caught:
        solo.start()
    assert "Error while loading elf kernel" in caught.value.details


@pytest.fixture
def taken() -> Iterator[Callable[[], PortLease]]:
    """Leases a port on which somebody listens before passt can."""
    with ExitStack() as stack:

        def lease_taken() -> PortLease:
            lease = stack.enter_context(lease_port())
            thief = stack.enter_context(socket.socket())
            thief.bind((LOOPBACK, lease.port))
            thief.listen()
            return lease

        yield lease_taken


def test_a_port_that_was_taken_meanwhile_is_replaced(
    solo: Machine, taken: Callable[[], PortLease], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lost: list[int] = []

    def lease() -> PortLease:
        if len(lost) == PORT_ATTEMPTS - 1:
            return lease_port()
        found = taken()
        lost.append(found.port)
        return found

    solo._services = replace(solo._services, lease_port=lease)
    solo.start()
    solo.check()
    assert len(lost) == PORT_ATTEMPTS - 1
    for port in lost:
        assert f"{solo.name}: port {port} was taken" in caplog.text
    assert solo.ssh_port not in lost
    # passt has it now.
    with pytest.raises(OSError, match="Address already in use"), socket.socket() as probe:
        probe.bind((LOOPBACK, solo.ssh_port))


def test_ports_that_are_always_taken_end_the_attempts(
    solo: Machine, taken: Callable[[], PortLease]
) -> None:
    solo._services = replace(solo._services, lease_port=taken)
    with pytest.raises(MachineError, match="cannot be started") as caught:
        solo.start()
    assert "Failed to bind port" in caught.value.details
    assert solo.state is MachineState.DEFINED
    assert subprocess.run(["pgrep", "--full", solo.name], check=False).returncode == 1


def own_rubbish(directory: Path) -> Path:
    file = directory / "vmlinux"
    file.write_bytes(b"\x7fELF" + b"rubbish" * 1000)
    return file


def test_a_guest_that_gives_up_says_why(solo: Machine) -> None:
    solo.config = replace(solo.config, kernel_args=("root=/dev/sda",))
    solo.start()
    with pytest.raises(MachineError, match="gave up: root=/dev/sda is neither"):
        solo.wait_ready(120)


def test_a_guest_that_hangs_meets_the_deadline(solo: Machine) -> None:
    # The initrd has no other program: what is not there makes the kernel panic, in 2 s or later.
    forever = ("rdinit=/bin/busybox", "--", "sleep", "1000")
    solo.config = replace(solo.config, kernel_args=forever)
    solo.start()
    with pytest.raises(MachineError, match="did not boot within 2 s"):
        solo.wait_ready(2)
    with pytest.raises(MachineError, match="did not boot"):
        solo.check()


def test_the_wrong_order_is_a_usage_error(solo: Machine) -> None:
    with pytest.raises(UsageError, match="is defined; it must be running or ready"):
        solo.wait_ready(1)
    with pytest.raises(MachineError, match="not running"):
        solo.check()


def test_the_command_line_is_known_before_the_start(solo: Machine) -> None:
    words = solo.argv()
    assert any(word.endswith("qemu-system-x86_64") for word in words)
    assert str(solo.config.boot.kernel) in words
    assert solo.state is MachineState.DEFINED


def test_two_runs_share_a_snapshot_and_one_dies_alone(hold: Hold, own_places: Path) -> None:
    """kill -9 of one of two runs at the same time: the next start removes what it left, and the
    other one goes on."""
    first, second = new_token(), new_token()
    one = hold(first)
    assert said(one).startswith("up ")
    two, three = hold(second), hold(new_token())
    assert said(two).startswith("up snapshot")
    assert said(three).startswith("up snapshot")
    assert sweep.sweep_stale() == []

    one.send_signal(signal.SIGKILL)
    one.wait(5)
    assert any("qemu" in trace for trace in traces(first))
    assert len(sweep.sweep_stale()) == 1
    assert gone(first)
    assert any("qemu" in trace for trace in traces(second))

    assert two.stdin is not None
    two.stdin.close()
    assert two.wait(20) == 0
    assert gone(second)


def test_an_interrupt_leaves_nothing(hold: Hold) -> None:
    token = new_token()
    process = hold(token)
    assert said(process).startswith("up ")
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert gone(token)


def test_a_kill_during_the_start_leaves_nothing_for_long(hold: Hold, own_places: Path) -> None:
    token = new_token()
    process = hold(token)
    end = time.monotonic() + 30
    while not any("qemu" in trace for trace in traces(token)) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(5)
    sweep.sweep_stale()
    assert gone(token)


def test_leased_machines_outlive_their_process(hold: Hold) -> None:
    token = new_token()
    process = hold(token, "lease")
    assert said(process).startswith("up ")
    assert process.wait(20) == 0
    assert sweep.sweep_stale() == []

    found = lease.find_lease(token)
    assert found.purpose == "test"
    machine = found.machine("solo")
    assert machine.alive()
    with machine.ssh() as connection:
        assert connection.run("hostname", hide=True, in_stream=False).stdout == "solo\n"
    listed = subprocess.run(
        machine.ssh_argv("hostname"), capture_output=True, text=True, timeout=30, check=True
    )
    assert listed.stdout == "solo\n"

    lease.end_lease(found)
    assert gone(token)
    with pytest.raises(UsageError):
        lease.find_lease(token)
