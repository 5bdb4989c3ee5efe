# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import ProvisionError, SpecError, UsageError
from orchestrator.host.trees import Package
from orchestrator.imaging import cache, declared_images, list_images, model
from orchestrator.imaging.build import _hook, _provision_failure
from orchestrator.imaging.declaration import read_declaration
from orchestrator.imaging.identity import image_hash, source_hash
from orchestrator.imaging.model import GuestImage


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of everything that an image is made from."""
    root = tmp_path / "project"
    for part in ("images", "playbooks", "orchestrator/imaging"):
        shutil.copytree(paths.project(part), root / part)
    return root


def test_the_hash_does_not_depend_on_where_the_project_is(project: Path) -> None:
    assert source_hash(project, "guest") == source_hash(paths.PROJECT, "guest")


@pytest.mark.parametrize(
    "file",
    [
        "images/guest.toml",
        "images/guest/rc",
        "playbooks/site.yml",
        "playbooks/roles/tuning/files/tuning",
        "orchestrator/imaging/initrd.py",
    ],
)
def test_what_gets_into_an_image_changes_its_hash(project: Path, file: str) -> None:
    before = source_hash(project, "guest")
    with (project / file).open("a", encoding="utf-8") as stream:
        stream.write("# more\n")
    assert source_hash(project, "guest") != before


def test_a_mode_changes_the_hash(project: Path) -> None:
    before = source_hash(project, "guest")
    os.chmod(project / "images/guest/inittab", 0o755)
    assert source_hash(project, "guest") != before


def test_packages_and_sources_both_decide_the_hash() -> None:
    package = Package(name="busybox", version="1", architecture="amd64", sha256="c" * 64)
    locks = [(package,), (replace(package, sha256="d" * 64),)]
    hashes = {image_hash(sources, lock) for sources in "ab" for lock in locks}
    assert len(hashes) == 4


@pytest.mark.parametrize(
    "file",
    ["playbooks/runtime.yml", "playbooks/roles/tuning/tasks/runtime.yml", "images/tools.toml"],
)
def test_what_stays_out_of_an_image_does_not(project: Path, file: str) -> None:
    before = source_hash(project, "guest")
    with (project / file).open("a", encoding="utf-8") as stream:
        stream.write("# more\n")
    assert source_hash(project, "guest") == before


def test_the_guest_is_declared() -> None:
    images = paths.project("images")
    assert "guest" in declared_images(images)
    assert "tools" not in declared_images(images)
    declaration = read_declaration(images, "guest")
    assert declaration.modules["virtio"] == ("virtio_blk",)


@pytest.mark.parametrize("name", ["nosuch", "../guest", "tools", ""])
def test_a_name_that_is_no_image_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_declaration(paths.project("images"), name)
    assert "guest" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[image]\nsize = 3\n", "no key 'size'"),
        ("[image.initrd]\nbase = 'ext4'\n", "image.initrd.base"),
        ("[image]\nslack_mib = -1\n[image.initrd]\nbase=[]\nvirtio=[]\npmem=[]\n", "slack_mib"),
        ("[image\n", "line 1"),
    ],
)
def test_a_wrong_declaration_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        read_declaration(tmp_path, "mine")
    assert "mine.toml" in str(caught.value)


def make_image(root: Path, name: str, digest: str) -> GuestImage:
    place = root / "images" / f"{name}-{digest}"
    place.mkdir(parents=True)
    for file in model.ARTEFACTS:
        (place / file).write_bytes(b"x" * 100)
    image = GuestImage(
        name=name,
        hash=digest,
        path=place,
        kernel_release="6.12",
        packages={"a": "1"},
        sha256={file: "0" for file in model.ARTEFACTS},
        drifted=False,
    )
    model.write_manifest(image)
    return image


def test_images_are_listed_and_leftovers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path))
    assert list_images() == []
    made = [make_image(tmp_path, "zulu", "1"), make_image(tmp_path, "guest", "2")]
    (tmp_path / "images" / ".build-guest.abc").mkdir()
    (tmp_path / "images" / "guest-broken").mkdir()
    assert list_images() == [made[1], made[0]]


def test_a_killed_build_is_removed_by_the_next_and_a_failed_one_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path))
    stale = tmp_path / "images" / ".build-guest.dead"
    stale.mkdir(parents=True)
    (stale / "tree.tar").touch()
    with pytest.raises(RuntimeError), cache._build_directory("guest") as work:
        (work / "tree.tar").touch()
        assert not stale.exists()
        raise RuntimeError
    assert list((tmp_path / "images").iterdir()) == []


def test_a_failure_inside_the_build_keeps_its_kind_and_words(tmp_path: Path) -> None:
    file = tmp_path / "failure.json"
    file.write_text('{"kind": "ProvisionError", "message": "m", "details": "d", "hint": "h"}')
    error = _provision_failure(file)
    assert isinstance(error, ProvisionError)
    assert (error.message, error.details, error.hint) == (
        "the image could not be provisioned: m",
        "d",
        "h",
    )


def test_the_checkout_that_builds_provisions(tmp_path: Path) -> None:
    """Whoever calls one checkout's ringbed may stand in another: its files must not get in."""
    decoy = tmp_path / "orchestrator" / "provision"
    decoy.mkdir(parents=True)
    for package in (decoy.parent, decoy):
        (package / "__init__.py").write_text("")
    (decoy / "__main__.py").write_text("print('another checkout')")
    command = ["sh", "-c", _hook(tmp_path / "no-request"), "hook", "tree"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "another checkout" not in done.stdout
    assert "no-request" in done.stderr
