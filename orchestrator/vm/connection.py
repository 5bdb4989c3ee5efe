# SPDX-License-Identifier: Apache-2.0
"""Connections to libvirt: the driver inside this process, or a daemon here or elsewhere.

libvirt prints errors and log lines to standard error unless told otherwise; both are silenced
here, because every error reaches the caller as an exception.
"""

import grp
import logging
import os
import pwd
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.errors import HostError, InfrastructureError, MachineError

logger = logging.getLogger(__name__)

EMBED = "embed"
# AF_UNIX paths end at 107 bytes; libvirt appends "/lib/qemu/domain-NN-<20 letters>/monitor.sock".
LONGEST_ROOT = 54
LIBVIRT_USER = "libvirt-qemu"
CAPABILITIES = "cache/qemu/capabilities"

_event_loop = threading.Lock()
_event_loop_runs = False


def libvirt_module(log: Path | None = None) -> Any:
    """The libvirt binding, with warnings and errors going to `log` instead of standard error.

    The first import decides where the log goes. Raises HostError when the binding is missing.
    """
    previous = os.environ.get("LIBVIRT_LOG_OUTPUTS")
    os.environ["LIBVIRT_LOG_OUTPUTS"] = f"3:file:{log}" if log else "4:file:/dev/null"
    try:
        import libvirt
    except ImportError as error:
        raise HostError(
            "the Python binding of libvirt is not here",
            details=str(error),
            hint="start ringbed through its launcher ./ringbed, which brings it",
        ) from error
    finally:
        if previous is None:
            del os.environ["LIBVIRT_LOG_OUTPUTS"]
        else:
            os.environ["LIBVIRT_LOG_OUTPUTS"] = previous
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def open_embedded(root: Path) -> Any:
    """Open libvirt's QEMU driver inside this process; it keeps all its files below `root`.

    A process can open one root in its life, and a root can be open in one process at a time.
    Domains outlive the process: opening the root again finds them.
    """
    if len(os.fsencode(root)) > LONGEST_ROOT:
        raise HostError(
            f"the state directory {root} has a name too long for sockets in it",
            hint="set RINGBED_STATE to a short directory, such as /tmp/rb",
        )
    _check_user()
    prepare_root(root)
    _let_passt_run_as_root(root)
    libvirt = libvirt_module(root / "libvirt.log")
    _run_event_loop(libvirt)
    with mapped(f"cannot start libvirt's QEMU driver in {root}"):
        connection = libvirt.open(f"qemu:///embed?root={root}")
    return connection


def open_daemon(uri: str) -> Any:
    """Connect to a libvirt daemon, such as qemu:///system or qemu+ssh://user@host/system."""
    libvirt = libvirt_module()
    _run_event_loop(libvirt)
    with mapped(f"cannot connect to {uri}"):
        connection = libvirt.open(uri)
        # A daemon that dies or a network that breaks must not hang a call for ever.
        with suppress(libvirt.libvirtError):
            connection.setKeepAlive(5, 3)
    return connection


def prepare_root(root: Path) -> None:
    """Write the driver's configuration and hand it what earlier runs learnt about QEMU."""
    root.mkdir(parents=True, exist_ok=True, mode=0o711)
    lines = [
        'stdio_handler = "file"',  # there is no virtlogd
        'security_driver = "none"',  # nor SELinux or AppArmor policies for files in this place
        "namespaces = []",
        "remember_owner = 0",
        "dynamic_ownership = 0",
        "cgroup_controllers = []",  # they would be left behind by a kill, and forbid taps
    ]
    if os.geteuid() == 0:
        lines += ['user = "+0"', 'group = "+0"']
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "qemu.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # libvirt asks a new QEMU some hundred questions, which takes seconds. It validates what it
    # finds here against the binary's time stamps, so that sharing the answers is safe.
    _copy_files(paths.cache("libvirt-capabilities"), root / CAPABILITIES)


def keep_capabilities(root: Path) -> None:
    """Let later runs use what libvirt has learnt about QEMU in this one."""
    _copy_files(root / CAPABILITIES, paths.cache("libvirt-capabilities"))


@contextmanager
def mapped(what: str, *, machine: str = "") -> Iterator[None]:
    """Turn a libvirt error into ours: MachineError when a machine is named, else HostError."""
    libvirt = libvirt_module()
    try:
        yield
    except libvirt.libvirtError as error:
        raise as_ringbed_error(what, str(error), machine=machine) from error


def as_ringbed_error(what: str, text: str, *, machine: str = "") -> InfrastructureError:
    """The error for a libvirt message, with what to do about the ones that are known."""
    hint = next((advice for part, advice in _HINTS if part in text), "")
    if machine:
        return MachineError(what, machine=machine, details=text, hint=hint)
    return HostError(what, details=text, hint=hint)


_HINTS = (
    ("Failed to acquire pid file", "another ringbed process is using these machines"),
    ("virtqemud-sock': No such file", "start libvirt's daemon, or leave out the connection"),
    ("libvirt-sock': No such file", "start libvirt's daemon, or leave out the connection"),
    ("Connection refused", "start libvirt's daemon, or leave out the connection"),
    ("Permission denied", "this user may not do that: join the group libvirt, or use sudo"),
    ("authentication", "this user may not do that: join the group libvirt, or use sudo"),
    ("Host key verification failed", "connect once with ssh by hand and accept the host's key"),
    ("Cannot recv data", "check that `ssh` to that host works without a password"),
    ("End of file while reading data", "check that `ssh` to that host works without a password"),
    ("annot allocate memory", "free memory, or give the machines less"),
    ("Could not access KVM kernel module", "use the accelerator tcg; ./ringbed doctor says why"),
    ("passt", "`passt` gives guests their management network: it must be able to start"),
)


def _check_user() -> None:
    """As root, libvirt insists on its own user even though the configuration names another."""
    if os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(LIBVIRT_USER)
        grp.getgrnam(LIBVIRT_USER)
    except KeyError as error:
        raise HostError(
            f"libvirt needs a user and a group {LIBVIRT_USER} when it runs as root",
            hint=f"start ringbed through ./ringbed, or: useradd --system --user-group "
            f"--no-create-home {LIBVIRT_USER}",
        ) from error


def _let_passt_run_as_root(root: Path) -> None:
    """Put a passt first in PATH that stays root when root starts it.

    passt wants to become nobody then, which fails because libvirt has already taken all its
    capabilities away. Without any capability, and confined to empty namespaces of its own, root
    is no more than another name.
    """
    if os.geteuid() != 0:
        return
    found = shutil.which("passt")
    if found is None:
        raise HostError("there is no passt", hint="start ringbed through ./ringbed")
    wrapper = root / "bin" / "passt"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexec {found} --runas 0:0 "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    os.environ["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"


def _copy_files(source: Path, target: Path) -> None:
    if not source.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("*.xml"):
        place = target / file.name
        if place.exists() and place.read_bytes() == file.read_bytes():
            continue
        with tempfile.NamedTemporaryFile(dir=target, delete=False) as temporary:
            with file.open("rb") as stream:
                shutil.copyfileobj(stream, temporary)
        os.replace(temporary.name, place)


def _run_event_loop(libvirt: Any) -> None:
    """Serve libvirt's events in a thread; without it the embedded driver does not work."""
    global _event_loop_runs
    with _event_loop:
        if _event_loop_runs:
            return
        libvirt.virEventRegisterDefaultImpl()

        def serve() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=serve, name="libvirt-events", daemon=True).start()
        _event_loop_runs = True
