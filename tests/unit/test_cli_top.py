# SPDX-License-Identifier: Apache-2.0
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.analysis.dataplane import STAGES, rates, read_counters
from orchestrator.analysis.fields import RawError
from orchestrator.cli.main import app


def told(number: int) -> dict[str, Any]:
    """The counters after so many seconds of the same work, of which 100 packets in 900 came to the
    core and were another one's."""
    loop = {
        "turns": 1000 * number,
        "idle_turns": 900 * number,
        "batches": 100 * number,
        "packets": 800 * number,
        "crossings": 90 * number,
        "busy_cycles": 1600 * len(STAGES) * number,
        "idle_cycles": 3000 * number,
        "timed_cycles": {stage: 100 * number for stage in STAGES},
    }
    queue = {"rx_packets": 900 * number, "tx_packets": 750 * number, "tx_full": 3 * number}
    queue |= {"handed_over": 100 * number, "inbox_full": 2 * number, "inbox_lost": number}
    core = {
        "core": 0,
        "cpu": 2,
        "loop": loop,
        "queue": {**queue, "rx_too_long": 0},
        "net": {"tcp_in": 780 * number, "tcp_no_connection": 0, "tcp_retransmitted": 5 * number},
        "used": {"connections": 32},
    }
    head = {"schema": 1, "stack": "ix", "time_ns": 10**9 * number, "link": True}
    return {**head, "rx_missed": 0, "rx_no_buffers": 0, "cores": [core]}


@contextmanager
def dpos(path: Path, *answers: str) -> Iterator[None]:
    """Answers so many who connect, and then nobody."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_rates_are_of_the_time_between() -> None:
    before, after = (read_counters(json.dumps(told(number)), "s") for number in (1, 3))
    (core,) = rates(before, after)
    assert (core.packets_in, core.packets_out, core.handed_over) == (900, 750, 100)
    assert core.dropped == 6
    assert (core.retransmitted, core.connections, core.batch) == (5, 32, 8)
    assert core.busy == pytest.approx(11200 / 14200)
    assert core.cycles_per_packet == dict.fromkeys(STAGES, 2)


def test_a_core_without_packets_has_no_cost_of_a_packet() -> None:
    same = read_counters(json.dumps(told(1)), "s")
    (core,) = rates(same, same)
    assert core.cycles_per_packet == {}
    assert core.busy == core.batch == 0


def test_l2_has_no_connections() -> None:
    data = told(1)
    del data["cores"][0]["net"], data["cores"][0]["used"]
    (core,) = read_counters(json.dumps(data), "s").cores
    assert core.connections == core.retransmitted == 0


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2}', '{"schema": 1, "stack": "ix"}'])
def test_what_is_not_told_by_dpos_is_refused(text: str) -> None:
    with pytest.raises(RawError, match="^the socket: "):
        read_counters(text, "the socket")


def test_a_table_for_each_look(tmp_path: Path) -> None:
    path = tmp_path / "control"
    answers = [json.dumps(told(number)) for number in (1, 2, 3)]
    with dpos(path, *answers):
        done = CliRunner().invoke(app, ["top", str(path), "--interval", "0.1", "-n", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.count("busy") == 2
    assert "79%" in done.output


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with dpos(path, json.dumps(told(1)), json.dumps(told(2))):
        words = ["top", str(path), "--interval", "0.1", "-n", "1", "--json"]
        done = CliRunner().invoke(app, words)
    (core,) = json.loads(done.output)
    assert core["packets_in"] == 900
    assert core["cycles_per_packet"]["network"] == 2


def test_nobody_answers(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["top", str(tmp_path / "control")])
    assert done.exit_code != 0
    assert "no dataplane answers" in str(done.exception)
