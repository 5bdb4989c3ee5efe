# SPDX-License-Identifier: Apache-2.0
"""What goes into a sealed guest and what is read from it, without a guest."""

import io
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import StepError
from orchestrator.steps import sealed
from orchestrator.steps.model import Collect, Run, Script, Start, Stop

NIC = sealed.Nic(
    mac="02:00:00:00:00:01", device="link0a", address="198.18.0.1/24", queues=2, cpus=(1,)
)
MACHINES = (
    sealed.Machine(name="client", cpus=(1,), nics=(NIC,)),
    sealed.Machine(name="server", cpus=(2, 3), nics=()),
)
FUNCTION = replace(
    NIC,
    mac="02:00:00:00:00:02",
    device="link0b",
    cpus=(2, 3),
    port_mac="52:54:00:00:00:01",
    queues=1,
)
WITH_FUNCTION = (MACHINES[0], replace(MACHINES[1], nics=(FUNCTION,)))
SCRIPT = Script(
    setup=(Start(machine="server", name="server", argv=("serve",)),),
    measure=(
        Run(machine="client", argv=("load",)),
        Collect(machine="client", path="{out}/load.json", into="load.json"),
    ),
    teardown=(Stop(machine="server", name="server"),),
)


def packed(tmp_path: Path) -> bytes:
    program = tmp_path / "rb-x"
    program.write_bytes(b"\x7fELF")
    return sealed.pack(MACHINES, SCRIPT, {"rb-x": program})


def test_input_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    first, second = packed(tmp_path), packed(tmp_path)
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["session", "main.000", "main.001", "down.000", "bin/rb-x"]


@pytest.mark.parametrize(
    "text",
    [
        sealed.site(MACHINES),
        sealed.site(WITH_FUNCTION),
        sealed.function(WITH_FUNCTION[1], FUNCTION),
        sealed.session(MACHINES, SCRIPT.measure, SCRIPT.teardown),
        sealed.session(WITH_FUNCTION, SCRIPT.measure, SCRIPT.teardown),
    ],
)
def test_scripts_are_valid_shell(text: str) -> None:
    subprocess.run(["sh", "-n", "-c", text], check=True, timeout=10)


def test_interrupts_are_spread_over_the_machines_cpus() -> None:
    assert "place link0a 1 1\n" in sealed.site(MACHINES)


def test_a_virtual_function_is_made_by_each_session_and_its_port_by_the_site(
    tmp_path: Path,
) -> None:
    site = sealed.site(WITH_FUNCTION)
    assert "nic 52:54:00:00:00:01\n" in site and "link0bpf" in site
    assert FUNCTION.mac not in site and "carrier server" not in site
    made = sealed.function(WITH_FUNCTION[1], FUNCTION)
    assert "/usr/lib/ringbed/sriov link0bpf,02:00:00:00:00:02,-,-\n" in made
    assert "echo 4 >/proc/irq/default_smp_affinity\n" in made
    assert "place link0b 2\n" in made and "carrier server link0b\n" in made
    left = sealed.function(replace(WITH_FUNCTION[1], taken=True), FUNCTION)
    assert "name link0b netns server\n" in left and "link0b up" not in left
    session = sealed.session(WITH_FUNCTION, SCRIPT.measure, SCRIPT.teardown)
    assert session.index("taskset -c 2 sh ./function.link0b\n") < session.index("run main.000")
    with tarfile.open(fileobj=io.BytesIO(sealed.pack(WITH_FUNCTION, SCRIPT, {}))) as archive:
        assert "function.link0b" in archive.getnames()


def test_a_script_runs_on_the_cpus_of_its_machine() -> None:
    text = sealed.session(MACHINES, (*SCRIPT.setup, *SCRIPT.measure), SCRIPT.teardown)
    assert "run main.000 server 2,3 ||" in text and "run main.001 client 1 ||" in text


def test_what_else_is_to_be_done_comes_before_teardown() -> None:
    text = sealed.session(MACHINES, SCRIPT.setup, SCRIPT.teardown, "cat /proc/kallsyms\n")
    lines = text.splitlines()
    at = lines.index("cat /proc/kallsyms")
    assert "run main.000 server" in lines[at - 1] and "run down.000 server" in lines[at + 1]


def output(tmp_path: Path, files: dict[str, str]) -> Path:
    target = tmp_path / "output"
    with tarfile.open(target, "w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return target


GOOD = {
    "status": "0\n",
    "session.log": "",
    "main.000": "\n@ringbed 0 ok 0\n",
    "main.001": "\n@ringbed 1 ok 0\n\n@ringbed-file 2 e30K\n\n@ringbed 2 ok 0\n",
    "down.000": "\n@ringbed 0 ok 0\n",
}


def unpack(tmp_path: Path, files: dict[str, str]) -> Path:
    into = tmp_path / "into"
    into.mkdir()
    sealed.unpack(SCRIPT, output(tmp_path, files), into)
    return into


def test_collected_files_are_kept(tmp_path: Path) -> None:
    into = unpack(tmp_path, GOOD)
    assert (into / "load.json").read_text() == "{}\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "1\n"}, "the session ended with status 1"),
        ({"status": ""}, "the session ended with status unknown"),
        ({"main.001": "\n@ringbed 1 failed 7 no\n"}, "client: run load: no"),
        ({"main.001": ""}, "client: the guest's shell ended before: run load"),
        ({"down.000": "\n@ringbed 0 failed 1 died\n"}, "server: stop server: died"),
    ],
)
def test_what_failed_is_told(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(StepError, match=message):
        unpack(tmp_path, GOOD | change)


def test_the_first_failure_counts(tmp_path: Path) -> None:
    both = {"main.000": "\n@ringbed 0 failed 1 one\n", "down.000": "\n@ringbed 0 failed 1 two\n"}
    with pytest.raises(StepError, match="one"):
        unpack(tmp_path, GOOD | both)


def test_output_that_is_no_archive(tmp_path: Path) -> None:
    blank = tmp_path / "blank"
    blank.write_bytes(bytes(1 << 20))
    with pytest.raises(StepError, match="status unknown"):
        sealed.unpack(SCRIPT, blank, tmp_path)


def test_teardown_brings_its_files_after_a_failure(tmp_path: Path) -> None:
    collect = Collect(machine="server", path="{out}/server.log", into="server.log", optional=True)
    script = replace(SCRIPT, teardown=(*SCRIPT.teardown, collect))
    number = len(SCRIPT.teardown)
    said = f"\n@ringbed 0 ok 0\n\n@ringbed-file {number} Ynll\n\n@ringbed {number} ok 0\n"
    files = GOOD | {"main.000": "\n@ringbed 0 failed 1 one\n", "down.000": said}
    with pytest.raises(StepError, match="one"):
        sealed.unpack(script, output(tmp_path, files), tmp_path)
    assert (tmp_path / "server.log").read_text() == "bye"
