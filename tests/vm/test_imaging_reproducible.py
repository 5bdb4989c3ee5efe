# SPDX-License-Identifier: Apache-2.0
"""A second build of the guest image from one lock file, in another directory: the same bytes."""

import filecmp
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.imaging import ensure_image, list_images
from orchestrator.imaging.model import ARTEFACTS


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure_image("guest")
    # A cache of its own, which shares nothing with the other but the fetched packages.
    place = tmp_path / "another" / "place"
    place.mkdir(parents=True)
    (place / "packages").symlink_to(paths.cache("packages"))
    monkeypatch.setenv("RINGBED_CACHE", str(place))
    assert list_images() == []
    second = ensure_image("guest")
    assert first.hash == second.hash
    assert first.manifest() == second.manifest()
    same, different, unreadable = filecmp.cmpfiles(
        first.path, second.path, ARTEFACTS, shallow=False
    )
    assert (different, unreadable) == ([], [])
    assert set(same) == set(ARTEFACTS)
    assert list_images() == [second]
    assert ensure_image("guest") == second
    leftovers = [path for path in second.path.parent.iterdir() if path.name.startswith(".build-")]
    assert leftovers == []
