# SPDX-License-Identifier: Apache-2.0
"""A program with a guest of its own: hold_machines.py TOKEN DIRECTORY KERNEL INITRD ROOT [lease]

Prints "up" when the guest is usable and waits for the end of its input; with "lease" it hands the
guest over and ends.
"""

import sys
from pathlib import Path

from orchestrator.vm.hypervisor import Hypervisor, HypervisorOptions
from orchestrator.vm.model import MIB, Boot, MachineConfig, Topology


def main() -> None:
    token, directory, kernel, initrd, root, *rest = sys.argv[1:]
    boot = Boot(kernel=Path(kernel), initrd=Path(initrd), root=Path(root), image_id="test")
    config = MachineConfig(name="solo", cpus=1, memory_bytes=384 * MIB, boot=boot)
    with Hypervisor(token, HypervisorOptions()) as hypervisor:
        group = hypervisor.define(Topology(machines=(config,)), Path(directory))
        group.up(deadline_s=300)
        if rest:
            hypervisor.lease("test")
        record = group["solo"].boot
        assert record is not None
        print(f"up {record.how} {record.seconds:.2f}", flush=True)
        if not rest:
            sys.stdin.read()


if __name__ == "__main__":
    main()
