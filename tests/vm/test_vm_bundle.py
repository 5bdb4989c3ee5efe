# SPDX-License-Identifier: Apache-2.0
"""A run on the virtual clock, bundled without packages and repeated on this host's caches."""

import json
from pathlib import Path

import pytest
from leftovers import Places, Ringbed

from orchestrator import paths

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(not paths.project(".git").exists(), reason="a bundle names a commit"),
]

TINY = ("--set", "clock=virtual", "--set", "duration=50ms", "--set", "matrix.load=[4000]")


def run_and_bundle(ringbed: Ringbed, tiny: str, target: Path) -> Path:
    """The run whose bundle is `target`."""
    done = ringbed("run", tiny, "--json", *TINY, seconds=400)
    assert done.code == 0, done.err
    run = Path(json.loads(done.out)["path"])
    if json.loads((run / "manifest.json").read_text())["ringbed"]["untracked"]:
        pytest.skip("this checkout has files that git does not know")
    done = ringbed("bundle", str(run), "--no-packages", "-o", str(target), seconds=200)
    assert done.code == 0, done.err
    return run


def test_the_bundle_of_a_run_gives_the_same_bytes(
    ringbed: Ringbed, places: Places, tiny: str, tmp_path: Path
) -> None:
    archive, again = tmp_path / "artifact.tar.gz", tmp_path / "again.tar.gz"
    run = run_and_bundle(ringbed, tiny, archive)
    ringbed("bundle", str(run), "--no-packages", "-o", str(again), seconds=200)
    assert archive.read_bytes() == again.read_bytes()

    # Below /tmp, because sockets are made there, and their names are short.
    desk = places.root / "desk"
    words = ("reproduce", str(archive), "--directory", str(desk), "--host-caches")
    done = ringbed(*words, "--json", seconds=600)
    found = json.loads(done.out)
    assert [row for row in found["files"] if row["verdict"] != "identical"] == [], done.err
    assert found["reproduced"] and done.code == 0

    # One changed byte of what is expected is found; a changed bundle is not believed.
    (load,) = (desk / "bundle" / "run" / "trials").glob("*/load.json")
    load.write_text(load.read_text().replace("1", "2", 1))
    done = ringbed("reproduce", str(desk / "bundle"), "--directory", str(desk), seconds=60)
    assert done.code == 2 and "load.json" in done.err
    assert places.clean_within(), places.leftovers()
