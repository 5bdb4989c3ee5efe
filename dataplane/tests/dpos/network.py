# SPDX-License-Identifier: Apache-2.0
"""What lies between dpos and this machine's TCP: a cable that can be cut, and a bad one.

`Veths` are devices of a network namespace of the test's own, and the bad cable is net-tap's
(tests/net/tap); `Guest` is a guest with two NICs on one hub, of which Linux has one, and the bad
cable is netem.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import running
from running import Place

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import netns  # noqa: E402  it lies beside other tests

_PREFIX = "10.9.0."
_FAR = "10.9.1."
_FIRST_SOURCE = 100
# Delay in us, jitter in us, and shares of loss, reordering and duplication.
DELAY, JITTER, LOSS, REORDER, DUPLICATE = 500, 200, 0.01, 0.01, 0.01


class Network(Protocol):
    place: Place

    def bad(self) -> AbstractContextManager[Place]:
        """With delay, jitter, loss, reordering and duplication in both directions."""

    def cut(self) -> None: ...

    def mend(self) -> None: ...

    def sources(self, count: int) -> list[str]:
        """So many addresses of this machine."""


def _plain_memory(mib: int) -> tuple[str, ...]:
    return (f"--plain-memory={mib}m",)


def _huge_memory(mib: int) -> tuple[str, ...]:
    return (f"--huge-memory={mib}m", "--iova=physical")


class Veths:
    """Here, in a namespace that this process has entered."""

    def __init__(self, programs: dict[str, str]) -> None:
        netns.add_veth("here0", "dpos0")
        for name in ("here0", "dpos0"):
            netns.set_up(name)
        netns.add_address("here0", f"{_PREFIX}1/24")
        cpu = running.first_cpu()
        self._sources: list[str] = []
        self.place = Place(
            device="net_af_packet0,iface=dpos0",
            here=f"{_PREFIX}1",
            address=f"{_PREFIX}2",
            interface="here0",
            memory=_plain_memory,
            cpus=(cpu, cpu),
            programs=programs,
        )

    @contextlib.contextmanager
    def bad(self) -> Iterator[Place]:
        netns.add_veth("far0", "bridge0")
        netns.add_veth("bridge1", "dpos1")
        for name in ("far0", "bridge0", "bridge1", "dpos1"):
            netns.set_up(name)
        netns.add_address("far0", f"{_FAR}1/24")
        words = [
            *(self.place.program("net-tap"), "--role=bridge"),
            *("--device=bridge0", "--other-device=bridge1"),
            *(f"--delay={DELAY}us", f"--jitter={JITTER}us", f"--loss={LOSS}"),
            *(f"--reorder={REORDER}", f"--reorder-time={4 * DELAY}us", f"--duplicate={DUPLICATE}"),
        ]
        bridge = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            yield replace(
                self.place,
                device="net_af_packet0,iface=dpos1",
                here=f"{_FAR}1",
                address=f"{_FAR}2",
                interface="far0",
            )
        finally:
            bridge.terminate()
            said, _ = bridge.communicate(timeout=running.STOP_S)
            netns.remove("far0")
            netns.remove("bridge1")
        link = json.loads(said)
        lost = [link[way]["lost"] for way in ("to_0", "to_1")]
        assert min(lost) > 0, f"not all went over the bad cable: {link}"

    def cut(self) -> None:
        netns.switch_off("here0")

    def mend(self) -> None:
        netns.switch_on("here0")

    def sources(self, count: int) -> list[str]:
        while len(self._sources) < count:
            address = f"{_PREFIX}{_FIRST_SOURCE + len(self._sources)}"
            netns.add_address("here0", f"{address}/24")
            self._sources.append(address)
        return self._sources[:count]


class Guest:
    """In a sealed guest (tests/vm/test_dataplane.py), which has moved this process into the
    namespace of Linux's NIC. description: a JSON file that says what is where."""

    def __init__(self, programs: dict[str, str], description: Path) -> None:
        told = json.loads(description.read_text())
        self._console = Path("/dev/console")
        self._sources: list[str] = []
        self._interface: str = told["interface"]
        self.place = Place(
            device=told["device"],
            client_device=told["client_device"],
            here=f"{_PREFIX}1",
            address=f"{_PREFIX}2",
            client=f"{_PREFIX}3",
            interface=self._interface,
            memory=_huge_memory,
            words=("--link-wait=10s",),
            cpus=tuple(told["cpus"]),
            programs=programs,
        )

    @contextlib.contextmanager
    def bad(self) -> Iterator[Place]:
        netem = [
            *("root", "netem", "delay", f"{DELAY}us", f"{JITTER}us"),
            *("loss", f"{LOSS:.2%}", "reorder", f"{REORDER:.2%}"),
            *("duplicate", f"{DUPLICATE:.2%}", "limit", "100000"),
        ]
        device = self._interface
        _tool("modprobe", "-a", "ifb", "sch_netem", "act_mirred", "cls_matchall", "sch_ingress")
        _tool("ip", "link", "add", "ifb9", "type", "ifb")
        _tool("ip", "link", "set", "ifb9", "up")
        # What a wire carries are segments, and each shall meet with its own fate.
        _tool("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
        _tool("tc", "qdisc", "replace", "dev", device, *netem)
        _tool("tc", "qdisc", "add", "dev", device, "ingress")
        away = ("action", "mirred", "egress", "redirect", "dev", "ifb9")
        _tool("tc", "filter", "add", "dev", device, "parent", "ffff:", "matchall", *away)
        _tool("tc", "qdisc", "replace", "dev", "ifb9", *netem)
        try:
            yield self.place
        finally:
            _tool("tc", "qdisc", "del", "dev", device, "ingress")
            _tool("tc", "qdisc", "del", "dev", device, "root")
            _tool("ethtool", "-K", device, "tso", "on", "gso", "on", "gro", "on")
            _tool("ip", "link", "del", "ifb9")

    def cut(self) -> None:
        self._console.write_text("ringbed: cut\n")

    def mend(self) -> None:
        self._console.write_text("ringbed: mend\n")

    def sources(self, count: int) -> list[str]:
        while len(self._sources) < count:
            address = f"{_PREFIX}{_FIRST_SOURCE + len(self._sources)}"
            netns.add_address(self._interface, f"{address}/24")
            self._sources.append(address)
        return self._sources[:count]


def _tool(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60.0, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr}")
