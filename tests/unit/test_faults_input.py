# SPDX-License-Identifier: Apache-2.0
"""What a user can get wrong before anything starts: told with its place, and nothing is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import paths

EXPERIMENT = """\
schema: 1
name: wrong
title: A file with a mistake
clock: wall
warmup: 100ms
duration: 300ms
machines:
  client: {cpus: 1, memory: 256MiB}
  server: {cpus: 1, memory: 256MiB}
links:
  - ends:
      - {machine: client, nic: igb}
      - {machine: server, nic: igb}
variants:
  echo: {stack: linux, app: echo}
workload: {mode: open, connections: 4}
matrix:
  load: [200]
metrics: [achieved_rps]
"""


def ringbed(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, with every place that it may write to below tmp_path."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    own = {
        "RINGBED_CACHE": str(tmp_path / "cache"),
        "RINGBED_STATE": str(tmp_path / "state"),
        "RINGBED_DATA": str(tmp_path / "data"),
        "RINGBED_RUNS": str(tmp_path / "runs"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": str(paths.PROJECT),
    }
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **own, **environment},
        cwd=paths.PROJECT,
    )


@pytest.mark.parametrize(
    ("before", "after", "place", "message", "hint"),
    [
        ("clock: wall", "clock: [wall", ": 100ms", "no YAML", ""),
        ("warmup: 100ms", "warmpu: 100ms", "warmpu", "warmpu", "did you mean warmup?"),
        ("duration: 300ms", "duration: soon", "soon", "soon", ""),
        ("machine: server,", "machine: sever,", "sever,", "no machine sever", "mean server?"),
        ("machine: server,", "machine: client,", "- {machine", "both ends are at client", ""),
        ("app: echo", "app: ehco", "ehco", "has no application ehco", "did you mean echo?"),
    ],
    ids=["no YAML", "unknown key", "no duration", "no such machine", "no link", "no such app"],
)
def test_a_wrong_file_is_told_with_line_and_column(
    before: str, after: str, place: str, message: str, hint: str, tmp_path: Path
) -> None:
    assert EXPERIMENT.count(before) == 1
    text = EXPERIMENT.replace(before, after)
    file = tmp_path / "wrong.yml"
    file.write_text(text, encoding="utf-8")
    done = ringbed(tmp_path, "run", str(file))
    assert done.returncode == 2, done.stderr
    position = text.index(place)
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    assert f"{file}:{line}:{column}: " in done.stderr
    assert message in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_left(tmp_path)


def test_an_archive_that_cannot_be_reached(tmp_path: Path) -> None:
    # Port 9 is "discard": nobody listens there.
    done = ringbed(tmp_path, "image", "build", "guest", RINGBED_ARCHIVE="http://127.0.0.1:9/debian")
    assert done.returncode == 3, done.stderr
    assert "archive" in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    for part in ("trees", "images", "packages"):
        place = tmp_path / "cache" / part
        kept = [path for path in place.rglob("*") if not path.name.endswith(".lock")]
        assert kept == [], kept
    assert nothing_left(tmp_path)


def nothing_left(tmp_path: Path) -> bool:
    return not any((tmp_path / place).exists() for place in ("state", "runs")) and not any(
        (tmp_path / "tmp").iterdir()
    )
