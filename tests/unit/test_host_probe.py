# SPDX-License-Identifier: Apache-2.0
"""What the probe concludes from what it finds."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.host import accelerator, probe
from orchestrator.host.accelerator import Accelerator

GIB = 1 << 30
TCG = Accelerator(kind="tcg", proof="none", reason="there is no /dev/kvm", hint="enable it")
FACTS = probe.Facts(
    cpu=probe.Cpu(model="m", vendor="v", cores=2, virtualisation="none", nested=False),
    kernel="6.12",
    distribution="Debian",
    memory_total=16 * GIB,
    memory_available=8 * GIB,
    memory_limit=None,
    disk_free=50 * GIB,
    huge_pages=(),
    tun="",
    user_namespaces="",
    versions={"QEMU": "10.0.13"},
    accelerator=TCG,
)


def row(facts: probe.Facts, name: str) -> probe.Row:
    return next(row for row in probe.doctor_rows(facts) if row.name == name)


def test_rows_of_a_good_host_are_ok_but_for_the_accelerator() -> None:
    assert {row.name: row.status for row in probe.doctor_rows(FACTS) if row.status != "ok"} == {
        "accelerator": "warn"
    }
    assert "functional evidence only" in row(FACTS, "accelerator").hint


@pytest.mark.parametrize(
    ("facts", "name", "status"),
    [
        (replace(FACTS, memory_available=GIB), "memory", "warn"),
        (replace(FACTS, memory_limit=GIB), "memory", "warn"),
        (replace(FACTS, disk_free=GIB), "disk", "warn"),
        (replace(FACTS, cpu=replace(FACTS.cpu, cores=1)), "cores", "warn"),
        (replace(FACTS, tun="denied"), "tun device", "warn"),
        (replace(FACTS, user_namespaces="denied"), "user namespaces", "fail"),
        (replace(FACTS, versions={"QEMU": ""}), "QEMU", "fail"),
    ],
)
def test_rows_say_what_is_wrong_and_what_to_do(facts: probe.Facts, name: str, status: str) -> None:
    found = row(facts, name)
    assert found.status == status
    assert found.hint


def test_memory_limit_is_the_smallest_on_the_way_up_version_2(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text("1048576\n")
    assert probe.group_limits("0::/a/b\n", tmp_path) == [1048576]


def test_memory_limit_version_1_ignores_the_largest_number(tmp_path: Path) -> None:
    (tmp_path / "memory" / "x").mkdir(parents=True)
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "memory" / "x" / "memory.limit_in_bytes").write_text("4096\n")
    assert probe.group_limits("3:cpu,memory:/x\n2:pids:/\n", tmp_path) == [4096]


def test_boot_sector_really_enters_long_mode() -> None:
    verdict = accelerator.boot_proof("tcg", None, deadline=60)
    assert verdict.kind == "tcg"
    assert "booted with TCG" in verdict.reason


def test_a_kernel_that_is_none_is_not_believed(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"no kernel")
    verdict = accelerator.boot_proof("tcg", kernel, deadline=60)
    assert "did not boot" in verdict.reason
    assert "QEMU said" in verdict.reason


def test_a_guest_that_hangs_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_BOOT_SECTOR", b"\xeb\xfe")
    verdict = accelerator.boot_proof("tcg", None, deadline=1)
    assert "still running after 1 s" in verdict.reason


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kvm"
    monkeypatch.setattr(accelerator, "KVM_DEVICE", path)
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path / "cache"))
    return path


def test_no_device_means_tcg_without_any_guest(device: Path) -> None:
    verdict = accelerator.probe_accelerator()
    assert (verdict.kind, verdict.proof) == ("tcg", "none")
    assert "there is no" in verdict.reason


def test_forbidden_device_tells_about_the_group(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    device.touch()
    monkeypatch.setattr(os, "open", refuse)
    verdict = accelerator.probe_accelerator()
    assert verdict.kind == "tcg"
    assert "group kvm" in verdict.hint


def test_a_verdict_is_kept_until_the_deadline_or_kernel_changes(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.touch()
    made: list[float] = []

    def prove(kind: accelerator.Kind, kernel: Path | None, *, deadline: float) -> Accelerator:
        made.append(deadline)
        return Accelerator(kind=kind, proof="boot sector", reason="it booted")

    monkeypatch.setattr(accelerator, "boot_proof", prove)
    first = accelerator.probe_accelerator(deadline=5)
    again = accelerator.probe_accelerator(deadline=5)
    assert (first.cached, again.cached) == (False, True)
    assert replace(again, cached=False) == first
    accelerator.probe_accelerator(deadline=6)
    accelerator.probe_accelerator(deadline=5, refresh=True)
    assert made == [5, 6, 5]
