# SPDX-License-Identifier: Apache-2.0
"""Taps and bridges for links that need several queues, in a network namespace of their own.

The namespace has no name and no process: an open file of this process keeps it until the QEMU
processes that entered it do. When the last of them ends, the kernel removes taps, bridges and
namespace. Nothing has to be cleaned up, whatever killed whom.

An ordinary user gets a user namespace around it, where the host permits that.
"""

import os
import stat
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from orchestrator import process
from orchestrator.errors import HostError
from orchestrator.vm import links
from orchestrator.vm.model import Topology

TIMEOUT_S = 20.0
READY = "namespace ready"
HINT = (
    "several queues on virtio need /dev/net/tun, bridges and either root or user namespaces; "
    "use one queue, or the NIC model igb"
)


class LinkNamespace:
    """A network namespace with the taps of a topology; a context manager.

    `entry` are the words that put a command into it. They name an open file of this process, so
    they work only while the context lasts.
    """

    def __init__(self, topology: Topology, log: Path) -> None:
        self._topology = topology
        self._log = log
        self._files: dict[str, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "LinkNamespace":
        user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        commands = " && ".join(map(process.shell_form, setup_commands(self._topology)))
        script = f"{commands} && echo {READY} && exec sleep {TIMEOUT_S:.0f}"
        # The child stays until its namespaces are held by files of this process.
        with process.background(("unshare", *user, "--net", "sh", "-c", script), log=self._log) as (
            child
        ):
            self._wait_ready(child)
            for kind in ("user", "net") if user else ("net",):
                file = os.open(f"/proc/{child.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                self._stack.callback(os.close, file)
                self._files[kind] = file
        return self

    def _wait_ready(self, child: subprocess.Popen[str]) -> None:
        end = time.monotonic() + TIMEOUT_S / 2
        while READY not in self._log.read_text(encoding="utf-8").splitlines():
            if child.poll() is not None or time.monotonic() > end:
                raise HostError(
                    "the taps for multiqueue virtio links cannot be made",
                    details=process.tail(self._log.read_text(encoding="utf-8")),
                    hint=HINT,
                )
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._files.clear()

    @property
    def entry(self) -> tuple[str, ...]:
        here = f"/proc/{os.getpid()}/fd"
        words = [f"--{kind}={here}/{file}" for kind, file in self._files.items()]
        if "user" in self._files:
            words.append("--preserve-credentials")
        return ("nsenter", *words, "--")


def write_wrapper(path: Path, entry: Sequence[str], emulator: str) -> None:
    """A program that libvirt can start instead of QEMU, and that becomes QEMU in the namespace."""
    command = process.shell_form((*entry, emulator))
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def setup_commands(topology: Topology) -> list[list[str]]:
    """The commands that make the taps and bridges of all links that need them."""
    commands: list[list[str]] = []
    for index, link in enumerate(topology.links):
        if not links.needs_tap(topology, link.name):
            continue
        bridge = f"bridge{index}"
        # A cable forwards at once, asks nothing and forgets nothing.
        commands.append(
            ["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state",
             "0", "mcast_snooping", "0"]
        )
        for side, (owner, nic) in enumerate(topology.ends(link.name)):
            plug = links.plugs(topology, owner, Path())[nic.ifname]
            tap = links.tap_name(index, side)
            several = ["multi_queue"] if plug.queues > 1 else []
            commands.append(["ip", "tuntap", "add", tap, "mode", "tap", *several])
            commands.append(["ip", "link", "set", tap, "master", bridge, "txqueuelen", "10000"])
            commands.append(["ip", "link", "set", tap, "up"])
        commands.append(["ip", "link", "set", bridge, "up"])
    return commands

