# SPDX-License-Identifier: Apache-2.0
"""Signals reach ringbed wherever it is, and never cut its cleaning up short."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from orchestrator import paths, process
from orchestrator.cli import main
from orchestrator.errors import ExitCode, Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers that the command line installs, for the length of a test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, main._on_signal)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_becomes_an_interruption(number: signal.Signals, handlers: None) -> None:
    with pytest.raises(Interrupted, match=number.name):
        signal.raise_signal(number)
    # The second one has nothing left to ask for.
    signal.raise_signal(number)


def test_logging_does_not_swallow_an_interruption(handlers: None) -> None:
    class Interrupting(logging.StreamHandler[TextIO]):
        def format(self, record: logging.LogRecord) -> str:
            signal.raise_signal(signal.SIGTERM)
            return super().format(record)

    logger = logging.Logger("test")
    logger.addHandler(Interrupting())
    with pytest.raises(Interrupted):
        logger.error("logging catches every Exception that its handlers raise")


def test_deferred_signals_wait_for_the_end_of_the_work(handlers: None) -> None:
    done = []
    with pytest.raises(Interrupted, match="SIGTERM"):
        with process.deferred_signals() as waits:
            assert not waits.is_set()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            done.append(waits.is_set())
        done.append(False)
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_deferred_signals_keep_the_error_of_the_work(handlers: None) -> None:
    with pytest.raises(Interrupted) as caught, process.deferred_signals():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("the work failed as well")
    assert isinstance(caught.value.__context__, ValueError)


def test_deferred_signals_without_a_signal_change_nothing(handlers: None) -> None:
    with process.deferred_signals():
        pass
    assert signal.getsignal(signal.SIGTERM) is main._on_signal


def test_deferred_signals_do_no_harm_in_a_thread() -> None:
    seen = []

    def work() -> None:
        with process.deferred_signals() as waits:
            seen.append(waits.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert seen == [False]


@pytest.mark.parametrize(
    ("fault", "said", "code"),
    [
        ("OSError(28, 'No space left on device', '/runs/x')", "No space left on device: /runs/x",
         ExitCode.NOT_MEASURED),
        ("ZeroDivisionError('here')", "a fault of ringbed", ExitCode.NOT_MEASURED),
        ("Interrupted('SIGTERM')", "interrupted by SIGTERM", ExitCode.INTERRUPTED),
        ("BrokenPipeError()", "", 128 + signal.SIGPIPE),
    ],
)  # fmt: skip
def test_no_fault_ends_with_the_status_of_a_verdict(fault: str, said: str, code: ExitCode) -> None:
    """Status 1 means that a claim was not met; Python would also use it for a traceback."""
    program = (
        "import sys\n"
        "from orchestrator.cli import main\n"
        "from orchestrator.errors import Interrupted\n"
        "def carry_out(*_):\n"
        f"    raise {fault}\n"
        "main.carry_out = carry_out\n"
        "sys.argv[1:] = ['status']\n"
        "main.entry()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(paths.PROJECT)},
    )
    assert done.returncode == code
    assert said in done.stderr
