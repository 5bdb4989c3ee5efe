# SPDX-License-Identifier: Apache-2.0
"""Two builds of the guest image from one lock file, in different directories: the same bytes."""

import filecmp
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.imaging import GuestImage, ensure_image, list_images
from orchestrator.imaging.model import ARTEFACTS


def build(root: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> GuestImage:
    """Build in a cache of its own that shares nothing with another but the fetched packages."""
    root.mkdir(parents=True)
    packages.mkdir(parents=True, exist_ok=True)
    (root / "packages").symlink_to(packages)
    monkeypatch.setenv("RINGBED_CACHE", str(root))
    return ensure_image("guest")


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = paths.cache("packages")
    first = build(tmp_path / "a", packages, monkeypatch)
    second = build(tmp_path / "another" / "place", packages, monkeypatch)
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
