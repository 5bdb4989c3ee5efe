# SPDX-License-Identifier: Apache-2.0
"""The definition of a sealed machine: the same for the same input, whatever it is called."""

from dataclasses import replace
from pathlib import Path

from orchestrator.vm.model import MIB, Boot
from orchestrator.vm.sealed import Files, Port, SealedConfig, argv, fingerprint


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


def test_paths_do_not_decide_the_snapshot(tmp_path: Path) -> None:
    first = fingerprint(config(tmp_path), files(tmp_path / "a"))
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert fingerprint(config(other, "r"), files(tmp_path / "b")) == first
    watched = replace(files(tmp_path / "c"), plugin="libx.so,out=y")
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
        replace(base, boot=replace(base.boot, image_id="other")),
    )
    keys = {fingerprint(one, where) for one in (base, *changes)}
    assert len(keys) == len(changes) + 1
