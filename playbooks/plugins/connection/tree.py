# SPDX-License-Identifier: GPL-3.0-or-later
# This file is loaded by Ansible into its own process and imports its modules, which are under the
# GPL. It is the only file of the project under this licence; nothing of the project imports it.
"""Ansible connection into a directory tree through chroot(8).

ansible-core has no such connection. The address of the host is the path of the tree. Whoever runs
it has the right to chroot, as root or as user 0 of a user namespace.
"""

import shutil
import subprocess  # noqa: TID251 - runs inside Ansible, not inside ringbed
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: tree
short_description: Run in a directory tree through chroot
description: Runs commands in, and copies files into, a directory tree on this host.
author: The ringbed authors
options:
  remote_addr:
    description: Path of the tree.
    default: inventory_hostname
    vars:
      - name: ansible_host
"""

# Nothing of the host's environment may change what gets into the tree.
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Connection(ConnectionBase):  # type: ignore[misc]
    """One tree; there is nothing to open or to close."""

    transport = "tree"
    has_pipelining = True

    @property
    def tree(self) -> Path:
        return Path(self.get_option("remote_addr"))

    def _connect(self) -> "Connection":
        if not (self.tree / "usr/bin").is_dir():
            raise AnsibleConnectionFailure(f"{self.tree} is not the root of a system")
        self._connected = True
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = subprocess.run(
            ["chroot", self.tree, "/bin/sh", "-c", cmd],
            input=in_data if in_data is not None else b"",
            env=ENVIRONMENT,
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        self._copy(Path(in_path), self._inside(out_path))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        self._copy(self._inside(in_path), Path(out_path))

    def close(self) -> None:
        self._connected = False

    def _inside(self, path: str) -> Path:
        return self.tree / path.lstrip("/")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f"cannot copy {source} to {target}: {error}") from error
