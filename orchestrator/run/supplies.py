# SPDX-License-Identifier: Apache-2.0
"""What a run needs before a guest can start, and its identity: image, programs, tools, code."""

import hashlib
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import HostError
from orchestrator.host import cbuild, plugin, probe, trees
from orchestrator.host.accelerator import Accelerator, known_accelerator
from orchestrator.host.plugin import Plugin
from orchestrator.imaging import GuestImage, ensure_image
from orchestrator.imaging.declaration import read_declaration
from orchestrator.imaging.identity import image_hash, source_hash
from orchestrator.log import step
from orchestrator.spec.model import Clock
from orchestrator.spec.topology import Demand

logger = logging.getLogger(__name__)

MIB = 2**20
# QEMU's own memory beside the guest's: measured 90 to 130 MiB a process, rounded up.
QEMU_OVERHEAD_BYTES = 160 * MIB
DISK_BYTES = 500 * MIB

# What decides how a trial is carried out; the rest of the package only reads results.
_CODE = ("stacks", "workloads", "steps", "provision", "vm")
_CODE_FILES = ("run/compose.py", "run/placement.py", "run/testbed.py", "run/sealedbed.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """Everything built or found that trials depend on. inputs: its hashes, by name.

    plugin: counts a sealed guest's instructions. turns: orders the threads of its QEMU.
    Both are None on the wall clock.
    """

    image: GuestImage
    binaries: Path
    host: probe.Facts
    tools: trees.Tree
    inputs: dict[str, str]
    plugin: Path | None = None
    turns: Plugin | None = None

    @property
    def accelerator(self) -> Accelerator:
        return self.host.accelerator


def gather(
    image_name: str,
    clock: Clock,
    *,
    locked: bool,
    archive: str,
    dataplane: Path | None = None,
) -> Supplies:
    """Build or find what trials depend on. Takes minutes on the first call, then a second.

    dataplane: another copy of dataplane/ to compile.
    """
    tools = trees.ensure_tree("tools", locked=locked, archive=archive)
    with step("C programs"):
        built = cbuild.ensure_dataplane(source=dataplane, build_locked=locked, archive=archive)
    with step(f"guest image {image_name}"):
        image = ensure_image(image_name, locked=locked, archive=archive)
    with step("host and accelerator"):
        host = probe.probe_host(image.kernel)
    inputs = {
        "image": image.hash,
        "dataplane": built.hash,
        "tools": tools.hash,
        "code": code_hash(),
    }
    counter = turns = None
    if clock == "wall":
        inputs["accelerator"] = host.accelerator.kind
    else:
        counter = plugin.ensure_plugin(tools, build_locked=locked, archive=archive)
        turns = plugin.ensure_plugin(tools, plugin.TURNS, build_locked=locked, archive=archive)
        inputs["accounting"], inputs["turns"] = counter.hash, turns.hash
    return Supplies(
        image=image,
        binaries=built.path,
        host=host,
        tools=tools,
        inputs=inputs,
        plugin=counter.path if counter else None,
        turns=turns,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What `gather` would supply, as far as declarations and lock files tell.

    accelerator: TCG while is_proven is false. missing: what `gather` would have to build.
    """

    image: GuestImage
    accelerator: Accelerator
    is_proven: bool
    missing: tuple[str, ...]
    inputs: dict[str, str]


def foresee(image_name: str, clock: Clock, *, locked: bool) -> Outlook:
    """Name what trials depend on. Builds, proves and writes nothing."""
    read_declaration(paths.project("images"), image_name)
    place = image_path(image_name, locked=locked)
    image_id = place.name.removeprefix(f"{image_name}-")
    image = GuestImage(
        name=image_name,
        hash=image_id,
        path=place,
        kernel_release="",
        packages={},
        sha256={},
        drifted=False,
    )
    tools, build = (trees.tree_path(name, locked=locked) for name in ("tools", "build"))
    build_id = build.name.removeprefix("build-")
    programs = cbuild.source_hash(paths.project("dataplane"), build_id, "release")
    tools_id = tools.name.removeprefix("tools-")
    counter = plugin.plugin_hash(tools_id, build_id)
    turns = plugin.plugin_hash(tools_id, build_id, plugin.TURNS)
    known = known_accelerator(image.kernel) if image.kernel.exists() else known_accelerator()
    places = {
        "the tools tree": tools,
        "the build tree": build,
        "the C programs": paths.cache("build", programs),
        f"the guest image {image_name}": image.path,
    }
    return Outlook(
        image=image,
        accelerator=known or Accelerator(kind="tcg", proof="none", reason="not proven yet"),
        is_proven=known is not None,
        missing=tuple(what for what, place in places.items() if not place.is_dir()),
        inputs={
            "image": image_id,
            "dataplane": programs,
            "tools": tools_id,
            "code": code_hash(),
            **(
                {"accelerator": known.kind if known else "not proven"}
                if clock == "wall"
                else {"accounting": counter, "turns": turns}
            ),
        },
    )


def image_path(name: str, *, locked: bool = False) -> Path:
    """Where a guest image is, or would be once it is built."""
    sources = source_hash(paths.PROJECT, name)
    digest = image_hash(sources, trees.locked_packages(name, locked=locked))
    return paths.cache("images", f"{name}-{digest}")


def code_hash() -> str:
    """Of the drivers, the steps and the playbooks."""
    package = paths.project("orchestrator")
    roots = [*(package / name for name in _CODE), paths.project("playbooks")]
    files = [package / name for name in _CODE_FILES]
    for root in roots:
        files += [path for path in root.rglob("*") if path.is_file() and _counts(path)]
    return _hash(sorted(files))


def _counts(path: Path) -> bool:
    return "__pycache__" not in path.parts and ".ansible" not in path.parts


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(paths.PROJECT).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_guests(facts: probe.Facts, demand: Demand, *, slots: int) -> list[str]:
    """Warnings about a host that can take the guests, but not well.

    Raises HostError when it cannot take them at all.
    """
    needed = slots * (demand.memory_bytes + demand.machines * QEMU_OVERHEAD_BYTES)
    available = facts.memory_usable
    if needed > available:
        raise HostError(
            f"the guests need {needed // MIB} MiB of memory, {available // MIB} MiB are available",
            hint="end other programs, or give less: --set machines.server.memory=512MiB",
        )
    cores = facts.cpu.cores
    if slots * demand.cpus <= cores:
        return []
    return [
        f"{slots * demand.cpus} vCPUs share {cores} cores of the host: "
        "guests take each other's time, and tails show it"
    ]


def most_slots(room: probe.Room, demand: Demand) -> int:
    """How many such sets of guests have cores and memory of their own; at least one."""
    each = demand.memory_bytes + demand.machines * QEMU_OVERHEAD_BYTES
    return max(1, min(room.cores // demand.cpus, room.memory // each))


def check_disk(place: Path, *, who: str, hint: str) -> None:
    """Raise HostError when `place` has too little room for what `who` writes there."""
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if free < DISK_BYTES:
        raise HostError(
            f"{place} has {free // MIB} MiB free; {who} needs {DISK_BYTES // MIB} MiB", hint=hint
        )
