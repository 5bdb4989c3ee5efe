# SPDX-License-Identifier: Apache-2.0
"""What this host offers: facts for the manifest, and the rows of `ringbed doctor`."""

import fcntl
import os
import platform
import re
import shutil
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from orchestrator import paths, process
from orchestrator.errors import CommandError, DeadlineError
from orchestrator.host.accelerator import Accelerator, probe_accelerator
from orchestrator.host.trees import read_lock

type Status = Literal["ok", "warn", "fail"]

MEMORY_NEEDED = 4 << 30
DISK_NEEDED = 6 << 30
CORES_NEEDED = 2
_GIB = 1 << 30
_HOST_RELEASE = Path("/usr/lib/host/lib/os-release")
_TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x0002 | 0x1000
_PROBE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """vendor: as the CPU names itself. nested: KVM here can offer KVM to its guests."""

    model: str
    vendor: str
    cores: int
    virtualisation: Literal["vmx", "svm", "none"]
    nested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePages:
    """One pool of huge pages; all sizes in bytes."""

    page: int
    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What guests may take: cores, and bytes of memory."""

    cores: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found. Sizes in bytes. memory_limit: of this process's control group, if any.

    tun, user_namespaces: empty when they work, else why not. versions: program to version; the
    ones in the tools tree.
    """

    cpu: Cpu
    kernel: str
    distribution: str
    memory_total: int
    memory_available: int
    memory_limit: int | None
    disk_free: int
    huge_pages: tuple[HugePages, ...]
    tun: str
    user_namespaces: str
    versions: dict[str, str]
    accelerator: Accelerator

    @property
    def memory_usable(self) -> int:
        """What guests may take: what is free, within the limit of the control group."""
        return _within(self.memory_limit, self.memory_available)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of `ringbed doctor`. hint: what to do; empty when the status is ok."""

    name: str
    status: Status
    value: str
    hint: str = ""


def probe_host(kernel: Path | None = None, *, refresh: bool = False) -> Facts:
    """Look at this host. kernel: as for probe_accelerator."""
    memory = _memory_info()
    cache = paths.cache()
    cache.mkdir(parents=True, exist_ok=True)
    return Facts(
        cpu=_cpu(),
        kernel=platform.release(),
        distribution=_distribution(),
        memory_total=memory["MemTotal"],
        memory_available=memory["MemAvailable"],
        memory_limit=_group_limit(),
        disk_free=shutil.disk_usage(cache).free,
        huge_pages=_huge_pages(),
        tun=_try_tun(),
        user_namespaces=_try_user_namespace(),
        versions=_versions(),
        accelerator=probe_accelerator(kernel, refresh=refresh),
    )


def room() -> Room:
    """What of this host guests may take. Proves nothing, and so can be had at once."""
    memory = _within(_group_limit(), _memory_info()["MemAvailable"])
    return Room(cores=_cores(), memory=memory)


def doctor_rows(facts: Facts) -> tuple[Row, ...]:
    """The facts as rows with a verdict each; `fail` means that no experiment can run."""
    return (
        _accelerator_row(facts),
        _cores_row(facts),
        _memory_row(facts),
        _disk_row(facts),
        Row(name="host", status="ok", value=f"{facts.distribution}, Linux {facts.kernel}"),
        _huge_pages_row(facts),
        _works_row(
            "tun device",
            facts.tun,
            "nothing in the quickstart needs it; to use tap links, run as root or load tun",
            failed="warn",
        ),
        _works_row(
            "user namespaces",
            facts.user_namespaces,
            "trees and images are built in one; see user.max_user_namespaces in /proc/sys",
            failed="fail",
        ),
        *_version_rows(facts),
    )


def _accelerator_row(facts: Facts) -> Row:
    verdict = facts.accelerator
    text = f"{verdict.kind.upper()}: {verdict.reason}"
    if verdict.kind == "kvm":
        nested = "nested KVM available" if facts.cpu.nested else "no nested KVM"
        return Row(name="accelerator", status="ok", value=f"{text}; {nested}")
    hint = f"wall-clock figures are functional evidence only on TCG; {verdict.hint}"
    return Row(name="accelerator", status="warn", value=text, hint=hint)


def _cores_row(facts: Facts) -> Row:
    cpu = facts.cpu
    flag = "no virtualisation" if cpu.virtualisation == "none" else cpu.virtualisation
    text = f"{cpu.cores} ({cpu.model}, {cpu.vendor}, {flag})"
    if cpu.cores >= CORES_NEEDED:
        return Row(name="cores", status="ok", value=text)
    hint = f"{CORES_NEEDED} are recommended: guests and load generator share what there is"
    return Row(name="cores", status="warn", value=text, hint=hint)


def _memory_row(facts: Facts) -> Row:
    text = f"{_gib(facts.memory_usable)} free of {_gib(facts.memory_total)}"
    if facts.memory_limit is not None and facts.memory_limit < facts.memory_available:
        text += f" (limit of the control group: {_gib(facts.memory_limit)})"
    if facts.memory_usable >= MEMORY_NEEDED:
        return Row(name="memory", status="ok", value=text)
    hint = f"the quickstart needs {_gib(MEMORY_NEEDED)}; end other programs or use smaller guests"
    return Row(name="memory", status="warn", value=text, hint=hint)


def _disk_row(facts: Facts) -> Row:
    text = f"{_gib(facts.disk_free)} free at {paths.cache()}"
    if facts.disk_free >= DISK_NEEDED:
        return Row(name="disk", status="ok", value=text)
    hint = f"an empty cache grows to {_gib(DISK_NEEDED)}; ./ringbed clean, or set RINGBED_CACHE"
    return Row(name="disk", status="warn", value=text, hint=hint)


def _huge_pages_row(facts: Facts) -> Row:
    pools = [pool for pool in facts.huge_pages if pool.total]
    if not pools:
        return Row(name="huge pages", status="ok", value="none reserved (guests do not need any)")
    text = ", ".join(f"{pool.free}/{pool.total} free of {pool.page >> 10} KiB" for pool in pools)
    return Row(name="huge pages", status="ok", value=text)


def _works_row(name: str, reason: str, hint: str, *, failed: Status) -> Row:
    if not reason:
        return Row(name=name, status="ok", value="usable")
    return Row(name=name, status=failed, value=reason, hint=hint)


def _version_rows(facts: Facts) -> Iterable[Row]:
    hint = "the tools tree is damaged: remove it with ./ringbed clean and start again"
    for name, version in facts.versions.items():
        if version:
            yield Row(name=name, status="ok", value=version)
        else:
            yield Row(name=name, status="fail", value="does not run", hint=hint)


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"


def _within(limit: int | None, memory: int) -> int:
    return memory if limit is None else min(memory, limit)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _cpu() -> Cpu:
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    return Cpu(
        model=fields.get("model name", "unknown"),
        vendor=fields.get("vendor_id", "unknown"),
        cores=_cores(),
        virtualisation="vmx" if "vmx" in flags else "svm" if "svm" in flags else "none",
        nested=any(
            _first_line(Path(f"/sys/module/{module}/parameters/nested")) in ("1", "Y")
            for module in ("kvm_intel", "kvm_amd")
        ),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _first_line(path: Path) -> str:
    return _text(path).partition("\n")[0].strip()


def _distribution() -> str:
    # The tools tree covers /usr, so the host's own name is found in the host's own /usr.
    for file in (_HOST_RELEASE, Path("/etc/os-release")):
        found = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(file), re.MULTILINE)
        if found:
            return found.group(1)
    return "unknown distribution"


def _memory_info() -> dict[str, int]:
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value, *_ = re.split(r":\s*|\s+", line)
        found[name] = int(value) << 10
    return found


def group_limits(groups: str, root: Path) -> list[int]:
    """The memory limits in bytes on the way from a process's control groups up to the root.

    groups: the text of /proc/PID/cgroup. root: where control groups are mounted.
    """
    limits = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, file = (root / "memory", "memory.limit_in_bytes")
        if not controllers:
            base = root / "unified" if (root / "unified").is_dir() else root
            file = "memory.max"
        directory = base / path.lstrip("/")
        for level in (directory, *directory.parents):
            text = _first_line(level / file)
            # "max", or a huge number in version 1, means none.
            if text.isdigit() and int(text) < 1 << 60:
                limits.append(int(text))
            if level == base:
                break
    return limits


def _group_limit() -> int | None:
    groups = Path("/proc/self/cgroup")
    if not groups.exists():
        return None
    return min(group_limits(groups.read_text(), Path("/sys/fs/cgroup")), default=None)


def _huge_pages() -> tuple[HugePages, ...]:
    pools = []
    for directory in sorted(Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB")):
        size = int(directory.name.removeprefix("hugepages-").removesuffix("kB")) << 10
        total = int(_first_line(directory / "nr_hugepages") or 0)
        free = int(_first_line(directory / "free_hugepages") or 0)
        pools.append(HugePages(page=size, total=total, free=free))
    return tuple(pools)


def _try_tun() -> str:
    """Make a tap device that vanishes at once; empty when that works, else why not."""
    try:
        device = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{_TUN} cannot be opened: {error.strerror}"
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"rbprobe%d", _IFF_TAP_NO_PI))
    except OSError as error:
        return f"a tap device cannot be made: {error.strerror}"
    finally:
        os.close(device)
    return ""


def _try_user_namespace() -> str:
    words = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", "0", "--", "true"]
    try:
        done = process.run(words, timeout=_PROBE_SECONDS, check=False)
    except (CommandError, DeadlineError) as error:
        return error.message
    return "" if done.returncode == 0 else process.tail(done.stderr, 1) or "bwrap failed"


def _output(*argv: str) -> str:
    try:
        done = process.run(argv, timeout=_PROBE_SECONDS, check=False)
    except (CommandError, DeadlineError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _version(*argv: str) -> Callable[[], str]:
    def ask() -> str:
        found = re.search(r"\d+\.\d+[^\s(),]*", _output(*argv))
        return found.group() if found else ""

    return ask


def _passt_version() -> str:
    """passt writes its version only to a terminal, so the tree's own record has to tell."""
    words = ["passt", "--version"]
    try:
        process.run(words, timeout=_PROBE_SECONDS)
    except (CommandError, DeadlineError):
        return ""
    record = Path(os.environ.get("RINGBED_TOOLS", ""), ".ringbed", "packages.lock")
    packages = read_lock(record) if record.is_file() else ()
    return next((package.version for package in packages if package.name == "passt"), "unknown")


def _libvirt_version() -> str:
    # Not by importing the binding: the first import decides where libvirt's own warnings go, and
    # that is for whoever opens a connection to say. Library and binding are of one version.
    return metadata.version("libvirt-python")


def _versions() -> dict[str, str]:
    programs: dict[str, Callable[[], str]] = {
        "QEMU": _version("qemu-system-x86_64", "--version"),
        "libvirt": _libvirt_version,
        "passt": _passt_version,
        "Python": platform.python_version,
        "mmdebstrap": _version("mmdebstrap", "--version"),
        "bubblewrap": _version("bwrap", "--version"),
    }
    return {name: ask() for name, ask in programs.items()}
