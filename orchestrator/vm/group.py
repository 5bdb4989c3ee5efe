# SPDX-License-Identifier: Apache-2.0
"""Several guests and the links between them, brought up together."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from orchestrator.errors import MachineError
from orchestrator.log import step
from orchestrator.vm import domain, guest
from orchestrator.vm.machine import Machine
from orchestrator.vm.model import Topology
from orchestrator.vm.snapshots import MEMORY, Snapshot, SnapshotCache

logger = logging.getLogger(__name__)

COLD_BOOT_S = 120.0
RESTORE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The machines of a topology on one hypervisor.

    platform: identifies QEMU, libvirt and, with KVM, the host's CPU; part of every snapshot's key.
    cancelled: tells waiting machines to give up, because another one has failed.
    """

    topology: Topology
    machines: tuple[Machine, ...]
    token: str
    platform: str
    can_snapshot: bool
    cancelled: threading.Event
    cache: SnapshotCache = field(default_factory=SnapshotCache)

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines)

    def __len__(self) -> int:
        return len(self.machines)

    def __getitem__(self, name: str) -> Machine:
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)

    def up(self, *, deadline_s: float = COLD_BOOT_S, snapshots: bool = True) -> None:
        """Bring all guests up at the same time, until each answers over ssh and its NICs are as
        the topology says.

        With `snapshots`, a guest continues from the snapshot of its key if there is one, and one
        that booted leaves one behind. deadline_s: for one cold boot. Raises the MachineError or
        StepError of the first guest that failed; the others are told to give up.
        """
        names = ", ".join(machine.name for machine in self)
        use = snapshots and self.can_snapshot
        with step(f"start {names}"):
            self.each(lambda machine: self._bring_up(machine, deadline_s, use))

    def destroy(self) -> None:
        destroy_all(self.machines)

    def each(self, work: Callable[[Machine], object]) -> None:
        """Do something with all machines at the same time; the first error is raised."""
        with ThreadPoolExecutor(max_workers=len(self.machines)) as pool:
            jobs = [pool.submit(work, machine) for machine in self]
            try:
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                failed = [job for job in done if job.exception() is not None]
                if failed:
                    self.cancelled.set()
                wait(jobs)
            except BaseException:
                self.cancelled.set()
                wait(jobs)
                raise
            finally:
                self.cancelled.clear()
        for job in failed:
            job.result()

    def snapshot_key(self, machine: Machine) -> str:
        """The hash of all that decides how the machine looks after booting."""
        fingerprint = domain.fingerprint(self.topology, machine.config, machine.firmware())
        return hashlib.sha256(f"{fingerprint} {self.platform}".encode()).hexdigest()

    def _bring_up(self, machine: Machine, deadline_s: float, use_snapshots: bool) -> None:
        key = self.snapshot_key(machine) if use_snapshots else ""
        found = self.cache.find(key) if use_snapshots else None
        if found is None or not self._continue_from(machine, found):
            machine.start()
            machine.wait_ready(deadline_s)
            guest.configure(machine)
            if use_snapshots:
                self._leave_snapshot(machine, key, deadline_s)
        guest.make_vfs(machine)

    def _continue_from(self, machine: Machine, snapshot: Snapshot) -> bool:
        """Restore; a snapshot that does not lead to a usable guest is removed."""
        try:
            machine.restore(snapshot.memory)
            machine.wait_ready(RESTORE_S)
        except MachineError as error:
            if self.cancelled.is_set():
                raise
            machine.destroy()
            self.cache.discard(snapshot, f"{error.message}: {error.details.strip()[-300:]}")
            logger.warning("%s boots from cold instead", machine.name)
            return False
        return True

    def _leave_snapshot(self, machine: Machine, key: str, deadline_s: float) -> None:
        """Save the guest and continue from what was saved, which proves that it can be."""
        boot = machine.boot
        directory = self.cache.scratch(key, self.token)
        try:
            machine.save(directory / MEMORY)
            snapshot = self.cache.publish(key, directory)
        except (MachineError, OSError) as error:
            self.cache.abandon(directory)
            logger.warning("%s: no snapshot could be made: %s", machine.name, error)
            self._boot_again(machine, deadline_s)
            return
        if not self._continue_from(machine, snapshot):
            self._boot_again(machine, deadline_s)
        machine.boot = boot

    def _boot_again(self, machine: Machine, deadline_s: float) -> None:
        machine.destroy()
        machine.start()
        machine.wait_ready(deadline_s)
        guest.configure(machine)


def destroy_all(machines: Sequence[Machine]) -> None:
    """End guests at the same time; all of them, even when one resists. Then the first error."""
    if not machines:
        return
    with ThreadPoolExecutor(max_workers=len(machines)) as pool:
        jobs = [pool.submit(machine.destroy) for machine in machines]
    for job in jobs:
        job.result()
