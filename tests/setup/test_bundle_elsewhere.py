# SPDX-License-Identifier: Apache-2.0
"""A run, its bundle, and the bundle repeated by somebody else without a network.

Everything that may differ between author and reviewer does: the caches are empty, and so are home
and state; another user, another path, another time zone and language, a date years later, clocks
of the kernel that began at another time. A quarter of an hour and 5 GB; only by name:
`pytest -m bundle`.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.host.trees import Bind, ensure_tree

pytestmark = [
    pytest.mark.bundle,
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root"),
]

LAUNCHER = paths.project("ringbed")
REVIEWER = 47110
TINY = (
    *("--set", "clock=virtual", "--set", "warmup=10ms", "--set", "duration=50ms"),
    *("--set", "matrix.load=[4000]", "--only", "linux-echo-single", "--repeat", "1"),
)
# Beside what a reviewer's log-in has: nothing of this process, and nothing that its host is not.
REVIEWERS_SETTINGS = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "TZ": "Asia/Kathmandu",
    "LANG": "de_DE.UTF-8",
    "TERM": "dumb",
}
NO_NETWORK = ("unshare", "--net", "--fork")
UPTIME = ("--time", "--monotonic", "8640000", "--boottime", "8640000")
# No namespace has a calendar of its own. In this one's /etc every program finds a library that it
# has to load first and that answers in place of the kernel; the launcher, which forgets LD_PRELOAD,
# and sandboxes that hide all but files keep that.
LATER = timedelta(days=1234)
OTHER_ETC = ("--mount", "sh", "-c", 'mount -t overlay -o lowerdir="$0:/etc" none /etc && exec "$@"')


def call(*words: str | Path, seconds: float, env: dict[str, str] | None = None) -> str:
    """Standard output of a command; all it says is shown, and it must succeed."""
    print("$", *words, flush=True)
    done = subprocess.run(
        words, stdout=subprocess.PIPE, text=True, timeout=seconds, check=False, env=env
    )
    print(done.stdout, flush=True)
    assert done.returncode == 0
    return done.stdout


@pytest.fixture
def desk() -> Iterator[Path]:
    """The reviewer's own place, whose name the author never saw. Others may pass through it, as
    they may not through pytest's directories."""
    place = Path(tempfile.mkdtemp(prefix="desk-of-another-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    subprocess.run(["rm", "-rf", "--one-file-system", place], check=True)


def made(tmp_path: Path) -> Path:
    """The bundle of a run of this checkout."""
    runs = tmp_path / "runs"
    call(LAUNCHER, "run", "quickstart", *TINY, "--runs-dir", runs, seconds=1200)
    target = tmp_path / "artifact.tar.gz"
    call(LAUNCHER, "bundle", "latest", "--runs-dir", runs, "-o", target, seconds=1800)
    return target


def etc_of_later(directory: Path) -> Path:
    """What is laid over /etc for programs to have a date LATER than this."""
    etc = directory / "etc"
    etc.mkdir(mode=0o755)
    binds = [
        Bind(source=Path(__file__).parent, target=Path("/src")),
        Bind(source=etc, target=Path("/out"), writable=True),
    ]
    words = ["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    words += ["-nostdlib", f"-DLATER_S={LATER // timedelta(seconds=1)}"]
    words += ["-o", "/out/later.so", "/src/later.c"]
    call(*ensure_tree("build").command(words, binds=binds), seconds=120)
    (etc / "ld.so.preload").write_text("/etc/later.so\n", encoding="utf-8")
    return etc


def test_a_reviewer_gets_the_same_bytes(tmp_path: Path, desk: Path) -> None:
    call("tar", "-xf", made(tmp_path), "-C", desk, seconds=300)
    (unpacked,) = desk.iterdir()
    call("sh", "-c", 'cd "$0" && sha256sum --quiet --check SHA256SUMS', unpacked, seconds=300)
    before = shutil.disk_usage(desk).used
    subprocess.run(["chown", "-R", f"{REVIEWER}:{REVIEWER}", desk], check=True)

    settings = {**REVIEWERS_SETTINGS, "HOME": str(desk)}
    reviewer = ("setpriv", "--reuid", str(REVIEWER), "--regid", str(REVIEWER), "--clear-groups")
    words = (unpacked / "ringbed", "reproduce", unpacked)
    elsewhere = (*NO_NETWORK, *UPTIME, *OTHER_ETC, etc_of_later(tmp_path))
    said = call(*elsewhere, *reviewer, *words, seconds=5400, env=settings)
    assert "reproduced: all" in said

    found = json.loads((unpacked / "reproduced" / "reproduction.json").read_text())
    assert found["reproduced"] and found["clock"] == "virtual"
    assert {row["verdict"] for row in found["files"]} == {"identical"}
    assert all(one["expected"] == one["found"] for one in found["inputs"])
    # A run's name begins with its date.
    (run,) = (unpacked / "reproduced" / "runs").iterdir()
    began = datetime.strptime(run.name.partition("-")[0], "%Y%m%dT%H%M%S%z")
    assert began > datetime.now(UTC) + LATER - timedelta(hours=2)
    # Nothing was written elsewhere, and it took no more than the README says.
    assert {path.name for path in desk.iterdir()} == {unpacked.name}
    print(f"disk taken: {(shutil.disk_usage(desk).used - before) >> 20} MiB")
