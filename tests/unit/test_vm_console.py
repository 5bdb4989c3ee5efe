# SPDX-License-Identifier: Apache-2.0
import os
import socket
import threading
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.vm import console
from orchestrator.vm.console import ConsoleLog

PANIC = "[   12.345678] Kernel panic - not syncing: sysrq triggered crash\r\n"


def test_ready_is_seen_as_soon_as_the_line_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = ConsoleLog(path)
    assert not log.scan().ready
    path.write_text("SeaBIOS\r\nringbed: re", encoding="utf-8")
    assert not log.scan().ready
    with path.open("a", encoding="utf-8") as file:
        file.write("ady\r\n")
    assert log.scan().ready


def test_the_first_cause_counts(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text(f"ringbed: boot failed: no root\r\n{PANIC}x panic - y\r\n", encoding="utf-8")
    verdict = ConsoleLog(path).scan()
    assert verdict.failure == "no root"
    assert verdict.panic == "sysrq triggered crash"


def test_terminal_sequences_do_not_hide_anything(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"\x1bc\x1b[?7l\x1b[2Jringbed: \x1b[1mready\x1b[0m\r\n\xff\xfe\r\n")
    log = ConsoleLog(path)
    assert log.scan().ready
    assert log.tail().startswith("ringbed: ready")


def test_a_new_life_does_not_inherit_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text(f"ringbed: ready\r\n{PANIC}", encoding="utf-8")
    log = ConsoleLog(path)
    log.start_here()
    assert log.scan() == console.Verdict()
    with path.open("a", encoding="utf-8") as file:
        file.write("ringbed: ready\r\n")
    assert log.scan() == console.Verdict(ready=True)


def test_the_tail_is_short(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text("".join(f"line {n}\n" for n in range(100)), encoding="utf-8")
    assert ConsoleLog(path).tail(2) == "line 98\nline 99"


def test_an_excerpt_shows_what_led_to_the_panic(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    before = "".join(f"before {n}\n" for n in range(50))
    after = "".join(f"after {n}\n" for n in range(50))
    path.write_text(f"{before}{PANIC}{after}", encoding="utf-8")
    lines = ConsoleLog(path).excerpt(before=2, after=3).splitlines()
    assert lines == ["before 48", "before 49", PANIC.rstrip(), "after 0", "after 1"]


def test_nobody_at_the_console_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no console"):
        console.attach(tmp_path / "absent")


def test_a_console_is_relayed_until_the_guest_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    keyboard, typing = os.pipe()
    screen, shown = os.pipe()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def guest() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"login: ")
                heard.append(peer.recv(100))

        thread = threading.Thread(target=guest)
        thread.start()
        os.write(typing, b"root\n")
        with os.fdopen(keyboard) as stdin, os.fdopen(shown, "w") as stdout:
            with monkeypatch.context() as patch:
                patch.setattr("sys.stdin", stdin)
                patch.setattr("sys.stdout", stdout)
                console.attach(tmp_path / "s")
        thread.join(5)
    assert heard == [b"root\n"]
    assert os.read(screen, 100) == b"login: "
    os.close(typing)
    os.close(screen)
