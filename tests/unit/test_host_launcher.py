# SPDX-License-Identifier: Apache-2.0
"""The launcher and the entry into the tools tree, as they run on this host."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator import paths

LAUNCHER = paths.project("ringbed")
ENTER = paths.project("images", "enter-tree.sh")


@pytest.fixture
def tools() -> Path:
    """The tree that this very process runs on."""
    found = os.environ.get("RINGBED_TOOLS")
    if not found:
        pytest.skip("not started by ./ringbed, so there is no tools tree to enter")
    return Path(found)


def start(*argv: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_the_command_has_the_process_id_of_the_script(tools: Path) -> None:
    child = start(ENTER, tools, "/bin/sh", "-c", "echo $$")
    said, _ = child.communicate(timeout=60)
    assert int(said) == child.pid


def test_a_signal_reaches_the_command_and_its_status_comes_back(tools: Path) -> None:
    script = 'trap "exit 42" TERM; echo ready; while :; do sleep 0.05; done'
    child = start(ENTER, tools, "/bin/sh", "-c", script)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 42


def test_a_tree_of_somebody_else_is_told_as_what_it_is(tools: Path, tmp_path: Path) -> None:
    """As user 0 of a namespace that knows no other user, as in a container without root."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "tree").symlink_to(tools)
    other: list[str] = []
    if os.geteuid() == 0:
        os.chown(closed, 12345, 12345)
        other = ["unshare", "--user", "--map-root-user"]
    closed.chmod(0)
    try:
        done = subprocess.run(
            [*other, ENTER, closed / "tree", "/bin/true"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        closed.chmod(0o700)
    assert done.returncode == 3
    assert f"the tools tree {closed}/tree cannot be read by user" in done.stderr
    assert "RINGBED_CACHE=DIR" in done.stderr


def test_inside_usr_is_the_tree_and_read_only(tools: Path) -> None:
    ask = "readlink -f /usr/bin/python3; stat -c %d:%i /usr; [ -w /usr ] && echo writable; :"
    python, usr = output(ENTER, tools, "/bin/sh", "-c", ask).splitlines()
    status = (tools / "usr").stat()
    assert python == "/usr/bin/python3.13"
    assert usr == f"{status.st_dev}:{status.st_ino}"


def test_inside_we_are_who_we_were_and_where_we_were(tools: Path) -> None:
    said = output(ENTER, tools, "/bin/sh", "-c", "id -u; id -g; pwd; echo $PATH").splitlines()
    assert said[:3] == [str(os.getuid()), str(os.getgid()), os.getcwd()]
    assert said[3].endswith("/usr/sbin:/usr/bin:/sbin:/bin")


def test_the_mounts_are_not_seen_outside(tools: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    output(ENTER, tools, "/bin/true")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_launcher_needs_a_url_after_archive() -> None:
    done = subprocess.run(
        [LAUNCHER, "--archive"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--archive needs a URL" in done.stderr


def test_launcher_passes_words_and_exit_code_through(tools: Path) -> None:
    done = subprocess.run(
        [LAUNCHER, "no-such-verb"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such-verb" in done.stderr + done.stdout


def test_no_install_stops_before_anything_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        [LAUNCHER, "--no-install", "--version"],
        env={**os.environ, "RINGBED_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "--no-install" in done.stderr
    assert not list(tmp_path.glob("trees/*"))


def offline(directory: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    words: list[str | Path] = [LAUNCHER, "--offline", directory, "--no-install", "doctor"]
    env = {**os.environ, "RINGBED_CACHE": str(cache)}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=env)


def test_offline_fills_the_cache_from_a_bundle(tmp_path: Path) -> None:
    bundle, cache = tmp_path / "bundle", tmp_path / "cache"
    (bundle / "packages").mkdir(parents=True)
    refused = offline(bundle, cache)
    assert refused.returncode == 3 and "packages and wheels" in refused.stderr
    (bundle / "wheels").mkdir()
    for name in ("a.deb", "b.deb"):
        (bundle / "packages" / name).write_text(name)
    (cache / "packages").mkdir(parents=True)
    (cache / "packages" / "b.deb").write_text("known")
    offline(bundle, cache)
    found = {path.name: path.read_text() for path in (cache / "packages").iterdir()}
    assert found == {"a.deb": "a.deb", "b.deb": "known"}


def test_a_cache_below_a_blank_is_refused(tmp_path: Path) -> None:
    done = offline(tmp_path, tmp_path / "a desk" / "cache")
    assert done.returncode == 3 and "blank" in done.stderr
