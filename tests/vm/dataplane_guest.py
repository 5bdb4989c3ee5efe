# SPDX-License-Identifier: Apache-2.0
"""A sealed guest with three igb ports on one hub: one is Linux's, two are for dpos. In it run the
proofs of dataplane/tests/dpos, which know what is where from a JSON file."""

import asyncio
import io
import json
import re
import tarfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient

from orchestrator import paths
from orchestrator.steps import sealed as steps
from orchestrator.vm.model import MIB, Boot
from orchestrator.vm.sealed import Files, Port, SealedConfig, SealedMachine

PEER, SERVER, CLIENT = "peer", "server", "client"
PROGRAMS = ("dpos", "rb-echo", "rbload")
PAGE = 4096
POLL_S = 0.05
# For Linux, its 100,000 sockets among them, and for two dposes.
MEMORY_BYTES = 3072 * MIB
HUGE_PAGES = 320
# What holds on to it can be seen; the kernel counts what it lends to nobody.
_SESSION = """\
set -eu
out=/run/ringbed/out
ulimit -n 1000000
/usr/lib/ringbed/hugepages 2048={pages} >$out/pages.json
for machine in {server} {client}; do
    nsenter --net=/run/netns/$machine /usr/lib/ringbed/vfio ${{machine}}0 >$out/$machine.json
done
pci() {{ sed -n 's/.*"pci": "\\([^"]*\\)".*/\\1/p' "$out/$1.json"; }}
cat >guest.json <<END
{{"interface": "{peer}0", "device": "$(pci {server})", "client_device": "$(pci {client})",
 "cpus": [2, 3]}}
END
status=0
nsenter --net=/run/netns/{peer} taskset -c 1 python3 -B tests/dpos/proofs.py --guest guest.json \\
    {words} >$out/proofs 2>&1 || status=$?
free -m >$out/memory
exit "$status"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machinery:
    """What a session needs of this host. programs: where they are. tools, turns: see vm.sealed."""

    machine: SealedMachine
    programs: Path


def config(boot: Boot) -> SealedConfig:
    ports = tuple(Port(mac=_mac(number), hub=0) for number in range(3))
    return SealedConfig(
        cpus=4,
        memory_bytes=MEMORY_BYTES,
        viommu=True,
        boot=boot,
        site=steps.site([_machine(number) for number in range(3)]),
        ports=ports,
        input_bytes=32 * MIB,
        output_bytes=16 * MIB,
    )


def _mac(number: int) -> str:
    return f"52:54:00:da:7a:{number:02x}"


def _machine(number: int) -> steps.Machine:
    name, cpu = (PEER, SERVER, CLIENT)[number], number + 1
    nic = steps.Nic(
        mac=_mac(number),
        device=f"{name}0",
        address=f"10.9.0.{number + 1}/24",
        queues=1,
        cpus=(cpu,),
    )
    return steps.Machine(name=name, cpus=(cpu,), nics=(nic,))


def prove(
    machinery: Machinery, place: Path, words: Sequence[str], *, deadline_s: float
) -> list[dict[str, Any]]:
    """Run proofs.py with these words in a guest; what each proof came to. Raises AssertionError
    when one did not come out, MachineError when the guest did not get to its end."""
    place.mkdir()
    files = Files(
        site=place / "site",
        input=place / "input",
        output=place / "output",
        console=place / "console",
        log=place / "log",
    )
    _write_input(machinery, files.input, words)
    with _Cable(files):
        machinery.machine.run(files, deadline_s=deadline_s)
    status = steps.read(files.output, "status").decode().strip()
    said = steps.read(files.output, "proofs").decode("utf-8", "replace")
    (place / "proofs").write_text(said)
    print(said, flush=True)
    found = [json.loads(line) for line in said.splitlines() if line.startswith('{"proof"')]
    log = steps.read(files.output, "session.log").decode("utf-8", "replace")
    assert status == "0", f"{said}\n{log}"
    return found


def _write_input(machinery: Machinery, path: Path, words: Sequence[str]) -> None:
    """The session, as the guest reads it: a page that says how many follow, and a tar."""
    programs = [f"--program={name}=$PWD/bin/{name}" for name in PROGRAMS]
    text = _SESSION.format(
        pages=HUGE_PAGES,
        peer=PEER,
        server=SERVER,
        client=CLIENT,
        words=" ".join([*programs, *words]),
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, "session", text.encode())
        for name in PROGRAMS:
            _add(archive, f"bin/{name}", (machinery.programs / name).read_bytes())
        tests = paths.project("dataplane", "tests")
        for script in sorted((*tests.glob("dpos/*.py"), *tests.glob("net/tap/*.py"))):
            _add(archive, f"tests/{script.relative_to(tests)}", script.read_bytes())
    pages = -(-len(buffer.getvalue()) // PAGE)
    content = f"{pages}\n".encode().ljust(PAGE, b"\0") + buffer.getvalue()
    path.write_bytes(content.ljust(machinery.machine.config.input_bytes, b"\0"))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o755
    archive.addfile(entry, io.BytesIO(data))


class _Cable:
    """While a guest runs: cuts the cable of dpos's port when the guest says so on its console, and
    mends it. The guest cannot do that itself, for it has only the ends."""

    def __init__(self, files: Files) -> None:
        self._console = files.console
        self._socket = files.input.with_name("qmp")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        done = 0
        while not self._ended.wait(POLL_S):
            if not self._console.exists():
                continue
            said = re.findall(r"ringbed: (cut|mend)", self._console.read_text("utf-8", "replace"))
            for word in said[done:]:
                asyncio.run(self._set(up=word == "mend"))
            done = len(said)

    async def _set(self, *, up: bool) -> None:
        client = QMPClient("cable")
        await client.connect(str(self._socket))
        try:
            # of dpos's port, the second one
            await client.execute("set_link", {"name": "hub1", "up": up})
        finally:
            await client.disconnect()
