# SPDX-License-Identifier: Apache-2.0
"""Taps and bridges for links that need several queues, in a network namespace of their own.

The namespace belongs to a user namespace, also for root: libvirt takes all capabilities away from
QEMU, and the owner of a user namespace may enter it without any. A process of ours holds both open
until QEMU has entered, and ends when this process ends, in whatever way; the last QEMU takes taps,
bridges and namespaces with it. Nothing has to be cleaned up.
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

TIMEOUT_S = 10.0
READY = "namespace ready"
HINT = (
    "several queues on virtio need /dev/net/tun, bridges and either root or user namespaces; "
    "use one queue, or the NIC model igb"
)


class LinkNamespace:
    """The namespaces with the taps of a topology; a context manager.

    `entry` are the words that put a command into them, while the context lasts.
    """

    def __init__(self, topology: Topology, log: Path) -> None:
        self._topology = topology
        self._log = log
        self._holder = 0
        self._stack = ExitStack()

    def __enter__(self) -> "LinkNamespace":
        commands = " && ".join(map(process.shell_form, setup_commands(self._topology)))
        with ExitStack() as stack:
            # The holder waits for the end of a pipe that only this process can write to.
            waits, ends = os.pipe()
            stack.callback(os.close, ends)
            try:
                script = f"{commands} && echo {READY} && read -r _ </proc/self/fd/{waits}"
                child = stack.enter_context(
                    process.background(
                        ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", script),
                        log=self._log,
                        pass_fds=(waits,),
                    )
                )
            finally:
                os.close(waits)
            self._wait_ready(child)
            self._holder = child.pid
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def entry(self) -> tuple[str, ...]:
        words = ("nsenter", "--user", "--net", "--preserve-credentials", "--target")
        return (*words, str(self._holder), "--")

    def _wait_ready(self, child: subprocess.Popen[str]) -> None:
        end = time.monotonic() + TIMEOUT_S
        while READY not in self._log.read_text(encoding="utf-8").splitlines():
            if child.poll() is not None or time.monotonic() > end:
                raise HostError(
                    "the taps for multiqueue virtio links cannot be made",
                    details=process.tail(self._log.read_text(encoding="utf-8")),
                    hint=HINT,
                )
            time.sleep(0.01)


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
            [
                "ip",
                "link",
                "add",
                bridge,
                "type",
                "bridge",
                "forward_delay",
                "0",
                "stp_state",
                "0",
                "mcast_snooping",
                "0",
            ]
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
