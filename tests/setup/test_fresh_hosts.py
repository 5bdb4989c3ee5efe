# SPDX-License-Identifier: Apache-2.0
"""From a minimal Debian to a report by the one command of the README: nothing is cached.

Ten minutes and 5 GB of disk for each; only by name: `pytest -m fresh tests/setup`. The whole
output of each is shown as it comes when pytest is given -s.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

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
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", host], check=True)
