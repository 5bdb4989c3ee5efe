# SPDX-License-Identifier: Apache-2.0
"""Readers of ringbed's output that go away before it ends."""

import os
import subprocess
import sys

import pytest

from orchestrator import paths

# Enough that no pipe holds it.
FLOOD = (
    "from orchestrator.cli import output\nfor i in range(20000): output.{stream}.print('x' * 80)\n"
)


def ended(program: str, stream: str) -> tuple[int, str]:
    """Exit status and the rest of what is said, when the reader of a stream reads 10 bytes."""
    script = f"import sys\nfrom orchestrator.cli import main\n{program}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        **pipes,  # type: ignore[call-overload]
        text=True,
        cwd=paths.PROJECT,
        env={**os.environ, "COLUMNS": "200"},
    ) as process:
        gone, kept = (
            (process.stdout, process.stderr)
            if stream == "out"
            else (process.stderr, process.stdout)
        )
        gone.read(10)
        gone.close()
        rest = kept.read()
        return process.wait(30), rest


@pytest.mark.parametrize("stream", ["out", "err"])
def test_only_results_need_a_reader(stream: str) -> None:
    body = FLOOD.format(stream=stream).replace("\n", "\n    ")
    program = (
        f"def work(words):\n    {body}\n    print('the end')\n"
        "main.carry_out = work\nsys.exit(main.invoke([]))\n"
    )
    status, rest = ended(program, stream)
    if stream == "out":
        # As a shell tells of a program that SIGPIPE ended: neither success nor a verdict.
        assert (status, rest) == (141, "")
    else:
        assert (status, rest) == (0, "the end\n")
