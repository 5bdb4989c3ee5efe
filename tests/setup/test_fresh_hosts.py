# SPDX-License-Identifier: Apache-2.0
"""From a minimal Debian to a report by the one command of the README: nothing is cached. And what
the virtual clock measures there is what it measures here, to the byte.

Ten minutes and 5 GB of disk for each; only by name: `pytest -m fresh tests/setup`. The whole
output of each is shown as it comes when pytest is given -s.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from orchestrator import paths

pytestmark = [
    pytest.mark.fresh,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a host needs root"),
]

SCRIPT = Path(__file__).with_name("fresh-host.sh")
HOSTS = {
    "Debian 12 as root": ("--suite", "bookworm"),
    "Debian 13 as an ordinary user": ("--suite", "trixie", "--user"),
}


@pytest.mark.parametrize("options", HOSTS.values(), ids=HOSTS)
def test_the_quickstart_ends_with_a_report(options: tuple[str, ...], tmp_path: Path) -> None:
    host = tmp_path / "host"
    words: list[str | Path] = [SCRIPT, *options, "--directory", host, "--"]
    command = [*words, "./ringbed", "run", "quickstart"]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, errors="replace", timeout=2400, check=False
        )
        print(done.stdout)
        assert done.returncode == 0
        named = re.search(r"^report +(\S+/report\.html)$", done.stdout, re.MULTILINE)
        assert named, "no report was named"
        found = list(host.glob(f"**/{named[1]}"))
        assert len(found) == 1
        assert "</html>" in found[0].read_text(encoding="utf-8")
        there = _measure([*words, "./ringbed"], host, {})
        here = {"RINGBED_RUNS": str(tmp_path / "runs")}
        assert there == _measure([paths.project("ringbed")], tmp_path, here)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", host], check=True)


def _measure(
    ringbed: Sequence[str | Path], root: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    """The digests of what a short run on the virtual clock leaves in its trials.

    root: where the run is found again; a host tells its path as it sees that itself.
    """
    command = [*ringbed, "run", "quickstart", "--json", "--repeat", "1", "--set", "clock=virtual"]
    command += ["--only", "linux-echo-single", "--only", "load=4000", "--only", "kind=measure"]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        timeout=900,
        check=True,
        env={**os.environ, **environment},
    )
    name = Path(json.loads(done.stdout)["path"]).name
    run = next(root.glob(f"**/runs/{name}"))
    files = [path for path in sorted((run / "trials").rglob("*")) if path.is_file()]
    assert any(path.name == "load.json" for path in files)
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
