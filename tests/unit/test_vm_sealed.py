# SPDX-License-Identifier: Apache-2.0
"""The definition of a sealed machine: the same for the same input, whatever it is called."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import process
from orchestrator.errors import MachineError
from orchestrator.run.sealedbed import TRIAL_S, deadline_s
from orchestrator.vm.model import MIB, Boot, NicModel
from orchestrator.vm.sealed import (
    DONE,
    Files,
    Port,
    SealedConfig,
    SealedMachine,
    argv,
    at_rest,
    fingerprint,
)
from orchestrator.vm.snapshots import SnapshotCache


def files(root: Path) -> Files:
    root.mkdir(parents=True)
    made = Files(
        site=root / "site",
        input=root / "input",
        output=root / "output",
        console=root / "console",
        log=root / "log",
    )
    for path in (made.input, made.output):
        path.write_bytes(bytes(2 * MIB))
    return made


def config(root: Path, name: str = "root.ext4") -> SealedConfig:
    image = root / name
    image.write_bytes(bytes(2 * MIB))
    boot = Boot(kernel=root / "k", initrd=root / "i", root=image, image_id="id")
    return SealedConfig(
        cpus=3,
        memory_bytes=512 * MIB,
        boot=boot,
        site="true",
        ports=(Port(mac="02:00:00:00:00:01", hub=0), Port(mac="02:00:00:00:00:02", hub=0)),
    )


def test_nothing_of_the_host_gets_in(tmp_path: Path) -> None:
    words = argv(config(tmp_path), files(tmp_path / "a"))
    text = " ".join(words)
    assert "-icount shift=0,sleep=off" in text and "clock=vm" in text
    assert "-rdrand" in text and "thread=single" in text
    for device in ("virtio", "-netdev user", "-netdev tap", "-chardev", "-drive"):
        assert device not in text


def test_virtio_waits_for_nothing_but_the_guests_clock(tmp_path: Path) -> None:
    port = Port(mac="02:00:00:00:00:01", hub=0, model=NicModel.VIRTIO)
    base = replace(config(tmp_path), ports=(port,))
    words = argv(base, files(tmp_path / "a"))
    (device,) = [word for word in words if word.startswith("virtio-net-pci")]
    assert {"ioeventfd=off", "tx=timer", "x-txtimer=1"} <= set(device.split(","))
    assert "iommu_platform=on" not in device
    behind = argv(replace(base, viommu=True), files(tmp_path / "b"))
    (device,) = [word for word in behind if word.startswith("virtio-net-pci")]
    assert "iommu_platform=on" in device


def test_an_iommu_is_there_before_what_is_behind_it_and_linux_uses_it(tmp_path: Path) -> None:
    words = argv(replace(config(tmp_path), viommu=True), files(tmp_path / "a"))
    devices = [word for before, word in zip(words, words[1:], strict=False) if before == "-device"]
    kinds = [device.partition(",")[0] for device in devices]
    assert kinds.index("intel-iommu") < kinds.index("igb")
    assert "intel_iommu=on" in words[words.index("-append") + 1]


def test_paths_do_not_decide_the_snapshot(tmp_path: Path) -> None:
    first = fingerprint(config(tmp_path), files(tmp_path / "a"))
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert fingerprint(config(other, "r"), files(tmp_path / "b")) == first
    watched = replace(files(tmp_path / "c"), plugins=("libx.so,out=y",))
    assert fingerprint(config(tmp_path), watched) == first


def test_what_the_guest_sees_does(tmp_path: Path) -> None:
    base, where = config(tmp_path), files(tmp_path / "a")
    changes = (
        replace(base, cpus=4),
        replace(base, site="false"),
        replace(base, seed=2),
        replace(base, kernel_args=("mitigations=off",)),
        replace(base, cpu_flags=("-erms",)),
        replace(base, ports=base.ports[:1]),
        replace(base, ports=(replace(base.ports[0], model=NicModel.VIRTIO), base.ports[1])),
        replace(base, viommu=True),
        replace(base, boot=replace(base.boot, image_id="other")),
    )
    keys = {fingerprint(one, where) for one in (base, *changes)}
    assert len(keys) == len(changes) + 1


def test_a_guest_that_is_late_is_told_with_what_watched_it(tmp_path: Path) -> None:
    where = files(tmp_path / "a")
    where.console.write_text("ringbed: go\n")
    machine = SealedMachine(
        "guest",
        config(tmp_path),
        tools="",
        turns=Path("/turns.so"),
        token="",
        cache=SnapshotCache(),
    )
    watched = replace(where, plugins=("/b/count.so,out=x", "/b/profile.so,out=y,pages=z"))
    with process.background(["sleep", "60"], log=tmp_path / "log", bound=True) as qemu:
        with pytest.raises(MachineError, match=r"within 0 s, watched by count and profile\n"):
            machine._await(qemu, watched, DONE, 0)
        with pytest.raises(MachineError, match=r"within 0 s\n"):
            machine._await(qemu, where, DONE, 0)


def test_a_trial_that_a_plugin_watches_may_take_longer() -> None:
    assert deadline_s(()) == TRIAL_S
    assert deadline_s(("profile.so,out=x",)) >= 3 * TRIAL_S


def stopped(*cpus: tuple[int, int]) -> str:
    """What QEMU prints of CPUs with those privilege levels, halted or not."""
    lines = (
        f"CPU#{number}\r\nRIP=0000000000000000 RFL=00000246 [---Z-P-] CPL={level} II=0 A20=1 SMM=0"
        f" HLT={halted}\r\nES =0000 0000000000000000 00000000 00000000\r\n"
        for number, (level, halted) in enumerate(cpus)
    )
    return "".join(lines)


QUIET = "ESR\t 0x00000000\r\nISR\t (none)\r\nIRR\t (none)\r\n\r\nAPR 0x00 TPR 0x10\r\n"
CALLED = QUIET.replace("IRR\t (none)", "IRR\t 253 ")


def test_a_guest_rests_with_a_program_on_its_first_cpu_and_the_others_halted() -> None:
    assert at_rest(stopped((3, 0), (0, 1), (0, 1)), [QUIET] * 3)


@pytest.mark.parametrize(
    ("cpus", "interrupts"),
    [
        ([(0, 0), (0, 1)], [QUIET, QUIET]),  # the kernel may be about to call the other one
        ([(3, 0), (0, 0)], [QUIET, QUIET]),  # the other one is at work
        ([(0, 1), (0, 1)], [QUIET, QUIET]),  # time would jump
        ([(3, 0), (0, 1)], [QUIET, CALLED]),  # the other one will wake up at the end of a slice
        ([(3, 0), (0, 1)], [CALLED, QUIET]),
    ],
)
def test_whatever_else_goes_on_is_not_rest(
    cpus: list[tuple[int, int]], interrupts: list[str]
) -> None:
    assert not at_rest(stopped(*cpus), interrupts)
