# SPDX-License-Identifier: Apache-2.0
"""QEMU's command lines, before there is anything that could be started."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import HostError
from orchestrator.host.owned import new_token
from orchestrator.vm import domain
from orchestrator.vm.connection import EMBED, mapped, open_embedded
from orchestrator.vm.files import LocalFiles
from orchestrator.vm.hypervisor import QEMU
from orchestrator.vm.machine import NO_PORT
from orchestrator.vm.model import MachineConfig, Topology
from orchestrator.vm.state import RunState

# What stands in the paths for the name that a run gives itself.
TOKEN = "TOKEN"


def command_lines(topologies: Sequence[Topology], directory: Path) -> list[dict[str, list[str]]]:
    """For each topology, QEMU's command line by machine, as libvirt inside this process makes it.

    directory: of the console logs. Nothing stays: libvirt's own files go with the state directory
    that is made for them, and neither image nor keys have to exist.
    """
    emulator = shutil.which(QEMU)
    if emulator is None:
        raise HostError(f"there is no {QEMU}", hint="start ringbed through ./ringbed")
    with RunState(new_token(), EMBED) as state:
        connection = open_embedded(state.libvirt_root)
        try:
            made = []
            for topology in topologies:
                topology.check()
                files = LocalFiles(state, state.new_group(), None)
                lines = {}
                for config in topology.machines:
                    place = _place(config, files, emulator, directory)
                    with mapped(f"{config.name}: libvirt refuses the definition"):
                        text = connection.domainXMLToNative(
                            "qemu-argv", domain.render(topology, config, place)
                        )
                    lines[config.name] = shlex.split(text.replace(state.token, TOKEN))
                made.append(lines)
            return made
        finally:
            connection.close()


def _place(
    config: MachineConfig, files: LocalFiles, emulator: str, directory: Path
) -> domain.Place:
    return domain.Place(
        domain_name=config.name,
        title=config.name,
        emulator=emulator,
        firmware=files.firmware(config.name),
        sockets=files.sockets(),
        console_socket=files.console_socket(config.name),
        console_log=directory.resolve() / config.name / "console.log",
        ssh_port=NO_PORT,
    )
