# SPDX-License-Identifier: Apache-2.0
"""Which accelerator guests get: KVM when it is proven to work here, else TCG.

That /dev/kvm exists proves nothing: a nested or paravirtual one may refuse, abort or hang a stock
guest. The proof is a guest that boots within a deadline. Two guests can serve:

- "kernel": a stock Debian kernel (the guest image's) without a root file system. It is proven when
  the kernel got as far as looking for one. This is what will run, so it is preferred.
- "boot sector": when no image was built yet, 164 bytes that enter 64-bit mode with paging and say
  so on the serial port. It shows that vCPUs run, not that a whole kernel does; the verdict says
  which proof it rests on, and the proof with a kernel is made once there is one.

A verdict is kept for this boot of the host, this QEMU and this kernel.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from orchestrator import paths, process
from orchestrator.errors import CommandError, DeadlineError
from orchestrator.host.locks import locked
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.log import step

type Kind = Literal["kvm", "tcg"]
type Proof = Literal["kernel", "boot sector", "none"]

KVM_DEVICE = Path("/dev/kvm")
QEMU = Path("/usr/bin/qemu-system-x86_64")
DEADLINE_SECONDS = 10.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KERNEL_WORKS = re.compile(r"VFS: (Unable to mount root fs|Cannot open root device)")
_SECTOR_WORKS = re.compile(r"ringbed: long mode")

# cli; page tables for one 2 MiB page; PAE, EFER.LME, paging; far jump to 64-bit code that writes
# "ringbed: long mode" to COM1 and ends QEMU through isa-debug-exit at port 0xf4.
_BOOT_SECTOR = bytes.fromhex(
    "fa31c08ed88ec0bf0010b90018fcf3abc70600100320c70600200330c7060030"
    "830066b8001000000f22d80f20e00c200f22e066b9800000c00f32660d000100"
    "000f300f0116a07c0f20c0660d010000800f22c0ea597c0800be747c000066ba"
    "f803ac84c07403eeebf866baf40031c0eff4ebfd72696e676265643a206c6f6e"
    "67206d6f64650d0a000f1f8000000000000000000000000000000000009a2000"
    "0f00907c"
)
_DISK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """The verdict. reason: one sentence for the report; hint: what would give KVM, if anything.

    seconds: how long the proof took; 0 without one. cached: it was made by an earlier start.
    """

    kind: Kind
    proof: Proof
    reason: str
    hint: str = ""
    seconds: float = 0.0
    cached: bool = False


def probe_accelerator(
    kernel: Path | None = None, *, deadline: float = DEADLINE_SECONDS, refresh: bool = False
) -> Accelerator:
    """The accelerator that guests get on this host.

    kernel: a stock vmlinuz to prove KVM with; None uses the boot sector. deadline: seconds that
    the proving guest may take. refresh: prove again even if a verdict is kept.
    """
    unusable = _unusable_device()
    if unusable is not None:
        return unusable
    file = paths.cache("probe", f"{_key(kernel, deadline)}.json")
    with locked(file.with_suffix(".lock"), timeout=6 * deadline, what="the probe of KVM"):
        if not refresh and (kept := _read(file)) is not None:
            return kept
        with step("proving KVM by booting a tiny guest"):
            verdict = boot_proof("kvm", kernel, deadline=deadline)
        _write(file, verdict)
    return verdict


def known_accelerator(
    kernel: Path | None = None, *, deadline: float = DEADLINE_SECONDS
) -> Accelerator | None:
    """What `probe_accelerator` would answer without booting anything; None when it would have to.

    Writes nothing.
    """
    unusable = _unusable_device()
    return unusable or _read(paths.cache("probe", f"{_key(kernel, deadline)}.json"))


def boot_proof(
    kind: Kind, kernel: Path | None, *, deadline: float = DEADLINE_SECONDS
) -> Accelerator:
    """Boot the proving guest with accelerator `kind`: a verdict for `kind`, or for TCG with the
    reason why `kind` failed."""
    proof: Proof = "boot sector" if kernel is None else "kernel"
    begin = time.monotonic()
    # Owned, so that the next start removes what a killed one leaves.
    with OwnedDirectory(new_token()) as place:
        console = place.path / "console"
        argv = _guest(kind, kernel, place.path, console)
        failure = _boot(argv, deadline)
        text = console.read_text(errors="replace") if console.exists() else ""
    seconds = round(time.monotonic() - begin, 2)
    guest = "a guest that enters 64-bit mode" if kernel is None else "a Debian kernel"
    if (_SECTOR_WORKS if kernel is None else _KERNEL_WORKS).search(text):
        reason = f"{guest} booted with {kind.upper()} in {seconds:.1f} s"
        return Accelerator(kind=kind, proof=proof, reason=reason, seconds=seconds)
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    where = f"its last console line: {last}" if last else "it printed nothing on its console"
    return Accelerator(
        kind="tcg",
        proof=proof,
        reason=f"{KVM_DEVICE} exists, but {guest} did not boot with it: {failure}; {where}",
        hint="use a host with hardware virtualisation (bare metal, or a VM with nested KVM)",
        seconds=seconds,
    )


def _unusable_device() -> Accelerator | None:
    if not KVM_DEVICE.exists():
        return Accelerator(
            kind="tcg",
            proof="none",
            reason=f"there is no {KVM_DEVICE}",
            hint="enable virtualisation in the firmware and load kvm_intel or kvm_amd",
        )
    try:
        os.close(os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Accelerator(
            kind="tcg",
            proof="none",
            reason=f"{KVM_DEVICE} cannot be opened: {error.strerror}",
            hint="add yourself to the group kvm (sudo usermod -aG kvm $USER) and log in again",
        )
    return None


def _guest(kind: Kind, kernel: Path | None, directory: Path, console: Path) -> list[str]:
    words = [str(QEMU), "-accel", kind, "-cpu", "max", "-machine", "q35", "-m", "256"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-serial", f"file:{console}"]
    if kernel is not None:
        # It panics for want of a root file system, and panic=-1 with -no-reboot ends QEMU.
        append = "console=ttyS0 panic=-1 tsc=reliable no_timer_check"
        return [*words, "-kernel", str(kernel), "-append", append]
    disk = directory / "disk"
    disk.write_bytes(_BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa")
    os.truncate(disk, _DISK_BYTES)
    words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    return [*words, "-drive", f"file={disk},format=raw,if=ide"]


def _boot(argv: Sequence[str], deadline: float) -> str:
    """Run the guest to its end; how it failed if it did."""
    try:
        done = process.run(argv, timeout=deadline, check=False)
    except DeadlineError as error:
        # The first line of the details is the command.
        said = error.details.splitlines()[1:]
        complaint = f" (QEMU said: {said[0]})" if said and "terminating on" not in said[0] else ""
        return f"it was still running after {deadline:g} s{complaint}"
    except CommandError as error:
        return error.message
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        return f"QEMU was ended by signal {-done.returncode} ({said[-1] if said else 'no message'})"
    return f"QEMU said: {said[-1]}" if said else "it ended early"


def _key(kernel: Path | None, deadline: float) -> str:
    digest = hashlib.sha256(_BOOT_ID.read_bytes())
    for file in (QEMU, kernel):
        if file is not None:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    digest.update(f"{kernel is None} {deadline}".encode())
    return digest.hexdigest()[:16]


def _read(file: Path) -> Accelerator | None:
    try:
        return Accelerator(**{**json.loads(file.read_text()), "cached": True})
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, verdict: Accelerator) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(verdict)))
    temporary.replace(file)
