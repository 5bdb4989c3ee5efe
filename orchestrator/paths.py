# SPDX-License-Identifier: Apache-2.0
"""Where things are. Nothing else in the package composes these paths."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def project(*parts: str) -> Path:
    """A path inside the checkout, such as project("images", "guest.toml")."""
    return PROJECT.joinpath(*parts)


def cache(*parts: str) -> Path:
    """A path below the cache: trees, packages, images, builds, snapshots. Safe to delete."""
    root = os.environ.get("RINGBED_CACHE")
    if not root:
        root = os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ringbed")
    return Path(root).joinpath(*parts)


def state(*parts: str) -> Path:
    """A path below the run-time state: sockets, leases, locks of machines that live now.

    Kept short: the path of an AF_UNIX socket may have 107 bytes.
    """
    root = os.environ.get("RINGBED_STATE")
    if not root:
        user = os.geteuid()
        runtime = "/run" if user == 0 else os.environ.get("XDG_RUNTIME_DIR")
        # Who creates it makes sure that it is this user's alone (see host.private).
        root = os.path.join(runtime, "ringbed") if runtime else f"/tmp/ringbed-{user}"
    return Path(root).joinpath(*parts)


def data(*parts: str) -> Path:
    """A path below what is neither cache nor state: the ssh key that guests accept."""
    root = os.environ.get("RINGBED_DATA")
    if not root:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        root = os.path.join(base, "ringbed")
    return Path(root).joinpath(*parts)
