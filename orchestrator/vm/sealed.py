# SPDX-License-Identifier: Apache-2.0
"""A sealed machine: a guest on virtual time that computes the same bytes on every host.

It shares nothing with its host but three nvdimms (images/guest/sealed says what is on them), has
no network but a hub between its own NICs, and QEMU counts one nanosecond per guest instruction
(`-icount shift=0,sleep=off`). Every device it uses completes inside the vCPU's own access; nothing
waits for QEMU's main loop, whose pace is the host's, and accounting/turns.c makes that loop wait
for the CPUs. QEMU is started directly: a libvirt domain has a monitor, names and paths of its run,
and no way to leave shared memory out of a snapshot.

Before it looks at its input the guest holds, with one CPU at work in a program and the others
halted; there a snapshot is taken, once for each configuration, from which every trial starts. What
follows is the same as after a cold boot, to the nanosecond: `at_rest` says under which condition.
"""

import asyncio
import hashlib
import logging
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from qemu.qmp import ConnectError, QMPClient, QMPError

from orchestrator import process
from orchestrator.errors import MachineError
from orchestrator.vm.console import ConsoleLog
from orchestrator.vm.model import MIB, Boot, NicModel
from orchestrator.vm.snapshots import MEMORY, Snapshot, SnapshotCache

logger = logging.getLogger(__name__)

QEMU = "/usr/bin/qemu-system-x86_64"
HOLD = "ringbed: hold"
GO = "ringbed: go"
DONE = "ringbed: done"
BOOT_S = 240.0
TICK_S = 0.005
SAVE_ATTEMPTS = 5
CONTROL_S = 60.0
CONNECT_ATTEMPTS = 2000
_SOCKETS = Path("/proc/net/unix")
_LISTENING = "00010000"

# The loops that calibrate delays cost minutes of wall time, for each `pause` in them ends a
# translation block; the clock's rate is known here: 10^9 per second, in ticks of 4 ms.
KERNEL_ARGS = (
    "console=ttyS0",
    "root=/dev/pmem0",
    "init=/usr/lib/ringbed/sealed",
    "panic=-1",
    "oops=panic",
    "net.ifnames=0",
    "quiet",
    "loglevel=4",
    "nokaslr",
    "random.trust_cpu=off",
    "tsc=reliable",
    "no_timer_check",
    "lpj=4000000",
    "cpu_init_udelay=0",
)
# Linux lets the HPET run on. Saved within the microsecond after one of its periods, QEMU 10.0
# restores it 2^32 ticks late, and what follows is different.
MACHINE = "pc-q35-10.0,nvdimm=on,hpet=off"
# Random numbers of the CPU are the host's.
CPU = "max,-rdrand,-rdseed"
# Without these Linux copies and clears by words; with them by bytes, each of which is counted.
NO_FAST_STRINGS = ("-erms", "-fsrm", "-fzrm", "-fsrs", "-fsrc")


IOMMU_ARGS = ("intel_iommu=on", "iommu=pt")
IOMMU = ("-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on,aw-bits=48")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A NIC. Ports with the same `hub` hear each other. An igb-vf is the igb port that it will be a
    function of: QEMU saves no functions, so that each session makes its own."""

    mac: str
    hub: int
    model: NicModel = NicModel.IGB


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedConfig:
    """All that decides what the guest computes, beside its input.

    site: the shell script that makes the network. cpu_flags: added to CPU, such as "-erms".
    input_bytes, output_bytes: sizes of those nvdimms, multiples of 2 MiB. viommu: it has an
    emulated Intel IOMMU.
    """

    cpus: int
    memory_bytes: int
    boot: Boot
    site: str = ""
    ports: tuple[Port, ...] = ()
    viommu: bool = False
    kernel_args: tuple[str, ...] = ()
    cpu_flags: tuple[str, ...] = ()
    seed: int = 1
    input_bytes: int = 32 * MIB
    output_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a machine's files are: nothing here has a part in what the guest computes.

    site: a copy of the configuration's. input: a tar, padded to its size. output: made anew.
    log: what QEMU itself says; it names paths of the host.
    plugins: QEMU's arguments for TCG plugins; a plugin watches and changes nothing.
    """

    site: Path
    input: Path
    output: Path
    console: Path
    log: Path
    plugins: tuple[str, ...] = ()


def argv(config: SealedConfig, files: Files) -> list[str]:
    """QEMU's command line for a cold boot."""
    boot, memory = config.boot, config.memory_bytes
    words = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-accel", "tcg,thread=single,tb-size=256"]
    words += ["-icount", "shift=0,sleep=off", "-seed", str(config.seed)]
    words += ["-rtc", "base=2026-01-01,clock=vm"]
    words += ["-machine", f"{MACHINE},memory-backend=ram"]
    words += ["-name", "debug-threads=on"]  # by its name the CPUs' thread is known
    words += ["-cpu", ",".join((CPU, *config.cpu_flags)), "-smp", str(config.cpus)]
    words += ["-object", f"memory-backend-ram,id=ram,size={memory}"]
    words += ["-m", f"size={memory // MIB}M,slots=3,maxmem={memory // MIB + 8192}M"]
    words += _nvdimm(0, boot.root, _size(boot.root), read_only=True)
    words += _nvdimm(1, files.input, str(config.input_bytes), read_only=True)
    words += _nvdimm(2, files.output, str(config.output_bytes), read_only=False)
    words += IOMMU if config.viommu else ()
    for number, port in enumerate(config.ports):
        words += ["-netdev", f"hubport,id=hub{number},hubid={port.hub}"]
        words += ["-device", f"pcie-root-port,id=slot{number},slot={number},chassis={number + 1}"]
        device = _device(port, viommu=config.viommu)
        words += ["-device", f"{device},netdev=hub{number},bus=slot{number},mac={port.mac}"]
    words += ["-kernel", str(boot.kernel), "-initrd", str(boot.initrd)]
    words += ["-fw_cfg", f"name=opt/ringbed/site,file={files.site}"]
    iommu = IOMMU_ARGS if config.viommu else ()
    words += ["-append", " ".join((*KERNEL_ARGS, *iommu, *config.kernel_args))]
    words += ["-serial", f"file:{files.console}"]
    for plugin in files.plugins:
        words += ["-plugin", plugin]
    return words


def _device(port: Port, *, viommu: bool) -> str:
    """A virtio NIC sends as soon as it is told to, by a timer of the guest's clock: told by an
    eventfd, or sending from a bottom half, it would wait for QEMU's main loop. It does not announce
    itself: QEMU 10.0 frees the timer of that when it restores a guest in zero rounds, and uses it
    when the driver changes."""
    if port.model is not NicModel.VIRTIO:
        return "igb"
    behind = ",iommu_platform=on,disable-legacy=on" if viommu else ""
    sends = "ioeventfd=off,tx=timer,x-txtimer=1,guest_announce=off"
    return f"virtio-net-pci,romfile=,{sends},rx_queue_size=1024{behind}"


def _size(root: Path) -> str:
    """Of a root file system; a plan may be made before there is one."""
    return str(root.stat().st_size) if root.exists() else "SIZE"


def _nvdimm(number: int, path: Path, size: str, *, read_only: bool) -> list[str]:
    backend = f"memory-backend-file,id=dimm{number},mem-path={path},size={size}"
    access = "readonly=on" if read_only else "readonly=off"
    unarmed = ",unarmed=on" if read_only else ""
    return [
        *("-object", f"{backend},share=on,{access}"),
        *("-device", f"nvdimm,id=nvdimm{number},memdev=dimm{number}{unarmed}"),
    ]


def fingerprint(config: SealedConfig, files: Files) -> str:
    """A hash of all that decides what is in the snapshot. Sizes of the nvdimms count, for the
    guest has seen them; their paths do not."""
    boot = replace(config.boot, kernel=Path("kernel"), initrd=Path("initrd"))
    neutral = argv(replace(config, boot=boot), replace(files, plugins=()))
    text = "\0".join((config.boot.image_id, config.site, *neutral))
    for name in ("site", "input", "output", "console"):
        text = text.replace(str(getattr(files, name)), name)
    text = text.replace(str(boot.root), "root")
    return hashlib.sha256(f"sealed\0{text}".encode()).hexdigest()


class SealedMachine:
    """Runs sessions of one configuration. One object serves one thread at a time.

    tools: hash of what QEMU comes from, part of the snapshot's key. turns: the compiled
    accounting/turns.c. token: of the run, in the names of unfinished snapshots.
    """

    def __init__(
        self,
        name: str,
        config: SealedConfig,
        *,
        tools: str,
        turns: Path,
        token: str,
        cache: SnapshotCache,
    ) -> None:
        self.name = name
        self.config = config
        self._tools = tools
        self._turns = turns
        self._token = token
        self._cache = cache
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Make a session under way in another thread end soon, by a MachineError."""
        self._given_up.set()

    def run(self, files: Files, *, deadline_s: float, cold: bool = False) -> None:
        """One session, from the input to the output. deadline_s: of wall time.

        cold: boot instead of starting from the snapshot. Raises MachineError when the guest does
        not get to its end, with the last lines of its console.
        """
        files.site.write_text(self.config.site, encoding="utf-8")
        _make_output(files.output, self.config.output_bytes)
        snapshot = None if cold else self.snapshot(files)
        words = argv(self.config, files)
        socket = files.input.with_name("qmp")
        if snapshot is not None:
            words += [*_monitor(socket), "-incoming", "defer"]
        files.console.unlink(missing_ok=True)
        with self._qemu(words, files) as qemu:
            if snapshot is not None:
                self._control(qemu, files, _load(socket, snapshot.memory))
            self._await(qemu, files, DONE, deadline_s)
            self._await_end(qemu, files, deadline_s)

    def snapshot(self, files: Files) -> Snapshot:
        """The guest while it holds; made when there is none yet."""
        files.site.write_text(self.config.site, encoding="utf-8")
        key = hashlib.sha256(
            f"{self._tools}\0{fingerprint(self.config, files)}".encode()
        ).hexdigest()
        found = self._cache.find(key)
        if found is not None:
            return found
        for _ in range(SAVE_ATTEMPTS):
            scratch = self._cache.scratch(key, self._token)
            try:
                if self._boot_and_save(files, scratch):
                    return self._cache.publish(key, scratch)
            except BaseException:
                self._cache.abandon(scratch)
                raise
            self._cache.abandon(scratch)
        raise MachineError(
            f"{self.name}: the host was too slow to stop the guest while it held",
            machine=self.name,
            hint="try again when the host has less to do",
        )

    def _boot_and_save(self, files: Files, scratch: Path) -> bool:
        """Boot to the hold and save. False when the guest was not stopped at rest in it."""
        mine = replace(files, console=scratch / "console", plugins=())
        socket = files.input.with_name("qmp")
        with self._qemu([*argv(self.config, mine), *_monitor(socket)], mine) as qemu:
            self._await(qemu, mine, HOLD, BOOT_S)
            qemu.send_signal(signal.SIGUSR2)  # for what follows QEMU need not wait for the guest
            rested = self._control(qemu, mine, _save(socket, scratch / MEMORY, self.config.cpus))
            return rested and GO not in mine.console.read_text("utf-8", "replace")

    @contextmanager
    def _qemu(self, words: Sequence[str], files: Files) -> Iterator[process.Process]:
        env = {"LD_PRELOAD": str(self._turns)}
        with process.background(words, log=files.log, env=env, bound=True) as qemu:
            yield qemu

    def _control[Answer](
        self, qemu: process.Process, files: Files, work: Coroutine[Any, Any, Answer]
    ) -> Answer:
        try:
            return asyncio.run(asyncio.wait_for(work, CONTROL_S))
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            self._check(qemu, files)
            raise self._failure(files, f"QEMU does not obey: {error!r}") from error

    def _await(self, qemu: process.Process, files: Files, line: str, deadline_s: float) -> None:
        end = time.monotonic() + deadline_s
        while not _says(files.console, line):
            self._check(qemu, files)
            if time.monotonic() > end:
                late = f"the guest did not say {line!r} within {deadline_s:.0f} s"
                self._fail(files, f"{late}{_watched_by(files)}")
            time.sleep(TICK_S)

    def _await_end(self, qemu: process.Process, files: Files, deadline_s: float) -> None:
        end = time.monotonic() + deadline_s
        while qemu.poll() is None:
            if time.monotonic() > end:
                self._fail(files, "the guest did not switch itself off")
            time.sleep(TICK_S)
        if qemu.returncode != 0:
            self._fail(files, f"QEMU ended with status {qemu.returncode}")

    def _check(self, qemu: process.Process, files: Files) -> None:
        if self._given_up.is_set():
            raise MachineError(f"{self.name}: the run ends", machine=self.name)
        verdict = ConsoleLog(files.console).scan()
        if verdict.panic:
            self._fail(files, f"the guest's kernel panicked: {verdict.panic}")
        if verdict.failure:
            self._fail(files, f"the guest gave up: {verdict.failure}")
        if qemu.poll() is not None and not _says(files.console, DONE):
            self._fail(files, f"QEMU ended with status {qemu.returncode} before the session did")

    def _fail(self, files: Files, what: str) -> NoReturn:
        raise self._failure(files, what)

    def _failure(self, files: Files, what: str) -> MachineError:
        said = ""
        if files.log.exists():
            said = process.tail(files.log.read_text("utf-8", "replace"), 5)
        return MachineError(
            f"{self.name}: {what}",
            machine=self.name,
            details=f"{ConsoleLog(files.console).tail(25)}\n--- QEMU ---\n{said}".strip(),
            hint=f"the whole console is in {files.console}",
        )


def _watched_by(files: Files) -> str:
    """For a message: the plugins that made the guest slower."""
    names = [Path(plugin.partition(",")[0]).stem for plugin in files.plugins]
    return f", watched by {' and '.join(names)}" if names else ""


def _says(console: Path, line: str) -> bool:
    try:
        return line in console.read_text("utf-8", "replace")
    except FileNotFoundError:
        return False


def _make_output(path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def _monitor(socket: Path) -> list[str]:
    return ["-qmp", f"unix:{socket},server=on,wait=off"]


async def _save(socket: Path, memory: Path, cpus: int) -> bool:
    """Stop the guest and write its memory and devices to a file. False when it was not at rest."""
    async with _connected(socket) as client:
        await client.execute("stop")
        registers = await _ask(client, "info registers -a")
        interrupts = [await _ask(client, f"info lapic {cpu}") for cpu in range(cpus)]
        if not at_rest(registers, interrupts):
            return False
        await client.execute("migrate", {"uri": f"file:{memory}"})
        await _migrated(client)
    return True


def at_rest(registers: str, interrupts: Sequence[str]) -> bool:
    """Whether a stopped guest goes on after a restore as if it had never been stopped.

    QEMU executes the CPUs in turn, each for a slice of the time to the next timer. Whose turn it
    was, and for how long, is not part of what is saved: the first CPU begins, with a new slice.
    That is the same only while no other CPU has anything to do before that timer. So the first CPU
    must be in a program, done with what its last timer interrupt called for, and every other one
    halted, with no interrupt under way from the first, which it would take up at a slice's end.

    registers: of all CPUs, as `info registers -a` prints them.
    interrupts: `info lapic` of each CPU.
    """
    levels, halted = re.findall(r"CPL=(\d)", registers), re.findall(r"HLT=(\d)", registers)
    assert len(levels) == len(halted) == len(interrupts)
    quiet = all(re.search(r"^IRR\s+\(none\)\s*$", text, re.MULTILINE) for text in interrupts)
    return quiet and levels[0] == "3" and halted[0] == "0" and "0" not in halted[1:]


async def _ask(client: QMPClient, line: str) -> str:
    return str(await client.execute("human-monitor-command", {"command-line": line}))


async def _load(socket: Path, memory: Path) -> None:
    """Let the guest go on from that file."""
    async with _connected(socket) as client:
        await client.execute("migrate-incoming", {"uri": f"file:{memory}"})
        await _migrated(client)
        await client.execute("cont")


def _listens(socket: Path) -> bool:
    """Whether somebody listens at a socket. Its name is there before, on a busy host long."""
    text = _SOCKETS.read_text(encoding="utf-8", errors="surrogateescape")
    lines = (line.split(maxsplit=7) for line in text.splitlines())
    return any(words[3] == _LISTENING and words[-1] == str(socket) for words in lines)


@asynccontextmanager
async def _connected(socket: Path) -> AsyncIterator[QMPClient]:
    """QEMU's monitor, set up to leave shared memory, the nvdimms, out of what is saved."""
    client = await _connect(socket)
    try:
        ignore = {"capability": "x-ignore-shared", "state": True}
        await client.execute("migrate-set-capabilities", {"capabilities": [ignore]})
        # Or QEMU would tell the network of the guest's arrival, at times of the host.
        await client.execute("migrate-set-parameters", {"announce-rounds": 0})
        yield client
    finally:
        await client.disconnect()


async def _connect(socket: Path) -> QMPClient:
    """QEMU makes the socket at one moment and listens to it at a later one."""
    for _ in range(CONNECT_ATTEMPTS):
        if socket.exists():
            client = QMPClient("sealed")
            client.logger.setLevel(logging.CRITICAL)
            with suppress(ConnectError):
                await client.connect(str(socket))
                return client
        await asyncio.sleep(TICK_S)
    raise TimeoutError(f"nobody listens to {socket}")


async def _migrated(client: QMPClient) -> None:
    while True:
        status = await client.execute("query-migrate")
        assert isinstance(status, dict)
        match status.get("status"):
            case "completed":
                return
            case "failed":
                raise OSError(str(status.get("error-desc")))
        await asyncio.sleep(TICK_S)
