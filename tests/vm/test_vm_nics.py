# SPDX-License-Identifier: Apache-2.0
"""Every NIC model: the guest has the queues it was given, and traffic uses each of them."""

import re
import shlex

import pytest

from orchestrator.vm import guest
from orchestrator.vm.group import Group
from orchestrator.vm.machine import Machine

pytestmark = pytest.mark.vm

FLOWS = 32
SINK = """
import socket, threading
server = socket.create_server(("", 7), backlog=64)
def echo(peer):
    while data := peer.recv(65536):
        peer.sendall(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""
# virtio sends on the queue of the CPU that the sender runs on, and a flow is answered on the queue
# it came from: flows begin on each CPU in turn, wherever the scheduler would leave the process.
SOURCE = """
import os, socket, sys
peers = []
for number in range(int(sys.argv[2])):
    os.sched_setaffinity(0, {number % os.cpu_count()})
    peers.append(socket.create_connection((sys.argv[1], 7), timeout=20))
os.sched_setaffinity(0, range(os.cpu_count()))
for peer in peers:
    peer.sendall(b"x" * 20000)
for peer in peers:
    left = 20000
    while left:
        left -= len(peer.recv(65536))
print("echoed", len(peers))
"""


@pytest.fixture(scope="module")
def echo(pair: Group) -> Group:
    pair["server"].run(f"nohup python3 -c {shlex.quote(SINK)} >/dev/null 2>&1 </dev/null & sleep 1")
    return pair


def interrupts(machine: Machine, pattern: str) -> dict[str, int]:
    """Interrupts of each queue whose name matches, over all CPUs."""
    counts: dict[str, int] = {}
    for line in machine.run(["cat", "/proc/interrupts"]).splitlines():
        words = line.split()
        if words and re.fullmatch(pattern, words[-1]):
            counts[words[-1]] = sum(int(word) for word in words[1:] if word.isdecimal())
    return counts


def exchange(group: Group, address: str) -> None:
    words = ["python3", "-c", SOURCE, address, str(FLOWS)]
    assert group["client"].run(words, deadline_s=60) == f"echoed {FLOWS}\n"


def facts(machine: Machine, ifname: str) -> guest.NicFacts:
    return next(fact for fact in guest.facts(machine) if fact.ifname == ifname)


def statistics(machine: Machine, ifname: str, pattern: str) -> dict[str, int]:
    """The driver's own counters whose names match."""
    text = machine.run(["ethtool", "-S", ifname])
    return {name: int(n) for name, n in re.findall(rf"^ +({pattern}): (\d+)$", text, re.MULTILINE)}


def risen(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {name: now[name] - before[name] for name in now}


def test_igb_uses_every_queue_in_both_directions(echo: Group) -> None:
    pattern = r"[rt]x_queue_\d+_packets"
    before = {machine.name: statistics(machine, "igb0", pattern) for machine in echo}
    exchange(echo, "10.1.0.2")
    for machine in echo:
        fact = facts(machine, "igb0")
        assert (fact.driver, fact.queues, fact.rx_ring, fact.up) == ("igb", 2, 4096, True)
        used = risen(before[machine.name], statistics(machine, "igb0", pattern))
        assert sorted(used) == [f"{way}_queue_{n}_packets" for way in ("rx", "tx") for n in (0, 1)]
        assert min(used.values()) > FLOWS, used


def test_an_igb_vf_carries_traffic_on_its_queue(echo: Group) -> None:
    vectors, counters = r"vf0-[rt]x-\d+", "[rt]x_packets"
    before = {
        machine.name: (interrupts(machine, vectors), statistics(machine, "vf0", counters))
        for machine in echo
    }
    exchange(echo, "10.2.0.2")
    for machine in echo:
        fact = facts(machine, "vf0")
        assert (fact.driver, fact.queues, fact.up) == ("igbvf", 1, True)
        raised = risen(before[machine.name][0], interrupts(machine, vectors))
        assert sorted(raised) == ["vf0-rx-0", "vf0-tx-0"]
        assert min(raised.values()) > 0, raised
        # Its one queue of each direction is all that these can be of.
        used = risen(before[machine.name][1], statistics(machine, "vf0", counters))
        assert sorted(used) == ["rx_packets", "tx_packets"]
        assert min(used.values()) > FLOWS, used


def test_virtio_uses_every_queue_in_both_directions(echo: Group) -> None:
    # What it sends virtio counts by queue only as doorbells, each for a packet or several; with
    # interrupts it hardly ever has to do, for it frees what was sent when it sends again.
    vectors, doorbells = r"virtio\d+-input\.\d+", r"tx\d+_kicks"
    before = {
        machine.name: (interrupts(machine, vectors), statistics(machine, "vnet0", doorbells))
        for machine in echo
    }
    exchange(echo, "10.3.0.2")
    for machine in echo:
        fact = facts(machine, "vnet0")
        assert (fact.driver, fact.queues, fact.rx_ring, fact.up) == ("virtio_net", 2, 1024, True)
        name = machine.run("basename $(readlink -f /sys/class/net/vnet0/device)").strip()
        raised = risen(before[machine.name][0], interrupts(machine, vectors))
        received = [raised.get(f"{name}-input.{queue}", 0) for queue in (0, 1)]
        assert min(received) > 0, raised
        rung = risen(before[machine.name][1], statistics(machine, "vnet0", doorbells))
        assert sorted(rung) == ["tx0_kicks", "tx1_kicks"]
        assert min(rung.values()) > 0, rung


def test_a_link_is_impaired_on_request(echo: Group) -> None:
    client = echo["client"]
    client.run("tc qdisc replace dev igb0 root netem limit 1000 delay 200ms")
    try:
        assert "delay 200ms" in facts(client, "igb0").qdisc
        text = client.run(["ping", "-c", "2", "10.1.0.2"])
        times = [float(found) for found in re.findall(r"time=([\d.]+)", text)]
        assert len(times) == 2
        assert min(times) >= 200
    finally:
        client.run(["tc", "qdisc", "del", "dev", "igb0", "root"])
