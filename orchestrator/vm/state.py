# SPDX-License-Identifier: Apache-2.0
"""The state directory of one run: sockets, libvirt's root, what QEMU reads."""

from pathlib import Path
from typing import Self

from orchestrator.host.owned import OwnedDirectory

LEASE = "lease.json"


class RunState(OwnedDirectory):
    """The directory `<state>/<token>` with places for the files of machines."""

    @property
    def libvirt_root(self) -> Path:
        return self.path / "v"

    @property
    def lease(self) -> Path:
        return self.path / LEASE

    def firmware(self, machine: str) -> Path:
        return self.path / "fw" / machine

    def console(self, machine: str) -> Path:
        return self.path / "con" / machine

    def new_group(self) -> Path:
        """A new directory for the links of one group of machines."""
        links = self.path / "link"
        directory = links / str(len(list(links.iterdir())))
        directory.mkdir(mode=0o700)
        return directory

    def __enter__(self) -> Self:
        super().__enter__()
        for directory in ("con", "fw", "link"):
            (self.path / directory).mkdir(mode=0o700)
        return self
