# SPDX-License-Identifier: Apache-2.0
"""The ssh keys of all guests of this user: one to log in with, one that guests show.

They are made once. Because guests always show the same host key, every connection is checked
strictly, and a snapshot that another run made can be entered.
"""

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, process

GUEST_ALIAS = "ringbed-guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Files with mode 0600 in a directory with mode 0700; the public halves beside them as .pub."""

    user: Path
    host: Path
    known_hosts: Path

    @property
    def authorized_key(self) -> str:
        return _public(self.user).read_text(encoding="utf-8")

    @property
    def host_private(self) -> str:
        return self.host.read_text(encoding="utf-8")

    @property
    def host_public(self) -> str:
        """The host key as it stands in known_hosts: type and base64."""
        return " ".join(_public(self.host).read_text(encoding="utf-8").split()[:2])


def guest_keys(directory: Path | None = None) -> Keys:
    """The keys, made now if they do not exist. Several processes may ask at once."""
    place = directory or paths.data("ssh")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = Keys(user=place / "user", host=place / "host", known_hosts=place / "known_hosts")
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for key in (keys.user, keys.host):
            if not (key.exists() and _public(key).exists()):
                _make(key)
        line = f"{GUEST_ALIAS} {keys.host_public}\n"
        if not keys.known_hosts.exists() or keys.known_hosts.read_text(encoding="utf-8") != line:
            keys.known_hosts.write_text(line, encoding="utf-8")
    return keys


def quoted(file: Path) -> str:
    """A path as a value of ssh_config, which takes several, with blanks between."""
    return f'"{file}"'


def ssh_command(keys: Keys, port: int, *command: str) -> list[str]:
    """The OpenSSH command line into a guest whose sshd is at a port of 127.0.0.1."""
    options = {
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": quoted(keys.known_hosts),
        "HostKeyAlias": GUEST_ALIAS,
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-F", "none", "-i", str(keys.user), "-p", str(port)]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "root@127.0.0.1", *command]


def _public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def _make(key: Path) -> None:
    with tempfile.TemporaryDirectory(dir=key.parent) as scratch:
        fresh = Path(scratch) / "key"
        process.run(
            (
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                f"ringbed {key.name}",
                "-f",
                fresh,
            ),
            timeout=20.0,
            hint="ssh-keygen comes with the tools tree: start ringbed through ./ringbed",
        )
        os.replace(_public(fresh), _public(key))
        os.replace(fresh, key)
