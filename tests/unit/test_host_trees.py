# SPDX-License-Identifier: Apache-2.0
"""images/tree.sh and its Python face, on declarations and archives made here: no network."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import ArchiveError, BuildError, CommandError, UsageError
from orchestrator.host import trees

SCRIPT = paths.project("images", "tree.sh")
DECLARATION = 'suite = "trixie"\nvariant = "essential"\npackages = ["hello"]\n'


def run_script(
    arguments: list[str], images: Path, cache: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RINGBED_")}
    return subprocess.run(
        [SCRIPT, "--images", images, *arguments],
        env={**clean, "RINGBED_CACHE": str(cache), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    directory = tmp_path / "images"
    directory.mkdir()
    return directory


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    directory = tmp_path / "apt"
    (directory / "sources.list.d").mkdir(parents=True)
    return directory


def declare(images: Path, text: str) -> None:
    (images / "x.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('color = "red"', "color"),
        ("suite = 'trixie'", "'trixie'"),
        ('suite = "tri\\nxie"', "not understood"),
        ('suite = "trixie"\nsuite = "sid"', "twice"),
        ('packages = ["hello"', "has no end"),
        ('packages = ["hello" "world"]', "not understood"),
        ('packages = ["hello"] junk', "not understood"),
        ("packages = 3", "3"),
        ("[other]", "[other]"),
        ('suite = "trixie"\nvariant = "apt"\npackages = ["He llo"]', "not a package name"),
        ('suite = "trixie"\nvariant = "buildd"\npackages = ["hello"]', "variant must be"),
        ('suite = "trixie"\nvariant = "apt"', "packages is missing"),
        (DECLARATION + 'exclude = ["usr/share"]', "not an absolute path"),
    ],
)
def test_refuses_a_declaration_it_does_not_understand(
    images: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    declare(images, text)
    done = run_script(["build", "x"], images, tmp_path / "cache")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "x.toml" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        DECLARATION,
        '# c\npurpose = "p" # c\nsuite="trixie"\nvariant = "apt"\npackages = [ # c\n "a1", "b1",'
        '\n # c\n  "c1"\n] # c\n',
        DECLARATION + '[image]\nanything = { goes = "here" }\n',
        DECLARATION + "exclude = []",
    ],
)
def test_understands_the_subset(images: Path, tmp_path: Path, text: str) -> None:
    declare(images, text)
    done = run_script(["build", "x"], images, tmp_path / "cache")
    assert done.returncode == 3
    assert "x.lock does not exist" in done.stderr
    assert "./ringbed image lock x" in done.stderr


def write_lock(
    images: Path, *, epoch: int = 1, kib: int = 1, name: str = "hello_1_amd64.deb"
) -> None:
    (images / "x.lock").write_text(
        f"# epoch: {epoch}\n# download-bytes: 1\n# installed-kib: {kib}\n{'0' * 64}  {name}\n"
    )


def test_hash_depends_on_declaration_and_lock_only(images: Path, tmp_path: Path) -> None:
    declare(images, DECLARATION)
    write_lock(images)
    first = run_script(["path", "x"], images, tmp_path / "cache").stdout
    other = tmp_path / "elsewhere"
    shutil.copytree(images, other)
    assert Path(first.strip()).parent == tmp_path / "cache" / "trees"
    assert run_script(["path", "x"], other, tmp_path / "cache").stdout == first
    write_lock(images, epoch=2)
    assert run_script(["path", "x"], images, tmp_path / "cache").stdout != first


def test_host_without_debian_archive_is_told_what_to_give(
    images: Path, apt: Path, tmp_path: Path
) -> None:
    declare(images, DECLARATION)
    write_lock(images)
    (apt / "sources.list.d" / "ubuntu.sources").write_text(
        "Types: deb\nURIs: http://ubuntu.invalid/ubuntu\nSuites: noble noble-updates\n"
        "Components: main universe\n"
    )
    done = run_script(["fetch", "x"], images, tmp_path / "cache", RINGBED_APT_ETC=str(apt))
    assert done.returncode == 3
    assert "--archive URL" in done.stderr
    assert "RINGBED_ARCHIVE" in done.stderr


def test_unreachable_archive_is_named(images: Path, tmp_path: Path) -> None:
    declare(images, DECLARATION)
    write_lock(images)
    address = f"file://{tmp_path}/no-archive"
    done = run_script(["--archive", address, "fetch", "x"], images, tmp_path / "cache")
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr
    assert address in done.stderr


def test_too_small_a_disk_is_told_before_anything_starts(images: Path, tmp_path: Path) -> None:
    declare(images, DECLARATION)
    package = b"not really a package"
    sha = hashlib.sha256(package).hexdigest()
    (images / "x.lock").write_text(
        f"# epoch: 1\n# download-bytes: 1\n# installed-kib: 99999999999\n{sha}  hello_1_amd64.deb\n"
    )
    cached = tmp_path / "cache" / "packages" / f"{sha}.deb"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(package)
    done = run_script(["build", "x"], images, tmp_path / "cache")
    assert done.returncode == 3
    assert "MiB free" in done.stderr
    assert not list((tmp_path / "cache" / "trees").glob(".build-*"))


def test_damaged_package_is_removed_from_the_cache(images: Path, tmp_path: Path) -> None:
    declare(images, DECLARATION)
    write_lock(images)
    cached = tmp_path / "cache" / "packages" / f"{'0' * 64}.deb"
    cached.parent.mkdir(parents=True)
    cached.write_text("damaged")
    address = f"file://{tmp_path}/no-archive"
    done = run_script(["--archive", address, "fetch", "x"], images, tmp_path / "cache")
    assert done.returncode == 3
    assert "damaged package" in done.stderr
    assert not cached.exists()


def sources(function: str, apt: Path) -> list[str]:
    script = 'source "$0"; ' + function
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, paths.project("images", "archive.sh")],
        env={"PATH": "/usr/bin:/bin", "RINGBED_APT_ETC": str(apt)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.split()


def test_reads_both_formats_of_apt_sources(apt: Path) -> None:
    (apt / "sources.list").write_text(
        "# deb http://comment.invalid/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k] http://one.invalid/debian/ bookworm main contrib\n"
        "deb-src http://src.invalid/debian bookworm main\n"
        "deb http://one.invalid/debian-security bookworm-security main\n"
        "deb cdrom:[Debian]/ bookworm main\n"
    )
    (apt / "sources.list.d" / "d.sources").write_text(
        "# comment\nTypes: deb deb-src\nURIs: http://two.invalid/vendor\n http://two.invalid/debian\n"
        "Suites: trixie trixie-updates\nComponents: main\n\nTypes: deb\nEnabled: no\n"
        "URIs: http://off.invalid/debian\nSuites: trixie\nComponents: main\n\nTypes: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n"
        "Suites: trixie-security\nComponents: main non-free-firmware\n"
    )
    assert sources("host_archives main", apt) == [
        "http://one.invalid/debian",
        "http://two.invalid/debian",
        "http://two.invalid/vendor",
    ]
    assert sources("host_archives security", apt) == [
        "http://one.invalid/debian-security",
        "mirror+file:///etc/apt/mirrors/debian-security.list",
    ]


def test_every_lock_file_of_the_project_is_well_formed() -> None:
    for name in trees.declared_trees():
        packages = trees.read_lock(paths.project("images", f"{name}.lock"))
        assert len({package.name for package in packages}) == len(packages) > 50
        text = paths.project("images", f"{name}.lock").read_text()
        assert "://" not in text, "a lock file names no archive"


def test_parse_lock_decodes_epochs() -> None:
    (package,) = trees.parse_lock(f"# comment\n{'a' * 64}  passt_1%3a2-3+b1_amd64.deb\n")
    assert (package.name, package.version, package.architecture) == ("passt", "1:2-3+b1", "amd64")


def test_parse_lock_refuses_other_lines() -> None:
    with pytest.raises(UsageError, match="not a line of a lock file"):
        trees.parse_lock("garbage")


def test_failures_of_the_script_become_errors_with_its_hint() -> None:
    error = CommandError("tree.sh ended with status 3", returncode=3)
    said = "x: building\nerror: the Debian archive cannot be reached\n  hint: check the network\n"
    explained = trees._explain(error, said)
    assert isinstance(explained, ArchiveError)
    assert explained.hint == "check the network"
    assert isinstance(trees._explain(error, "error: mmdebstrap failed for x\n"), BuildError)
    assert isinstance(trees._explain(error, "killed"), BuildError)


def tree(path: Path) -> trees.Tree:
    return trees.Tree(name="x", path=path, hash="0", packages=(), drift=())


def test_command_shows_the_working_directory_read_only(tmp_path: Path) -> None:
    words = tree(tmp_path).command(["true"], cwd=Path("/home/me/checkout"))
    index = words.index("/home/me/checkout")
    assert words[index - 1 : index + 2] == ["--ro-bind", "/home/me/checkout", "/home/me/checkout"]
    assert words[-2:] == ["--", "true"]
    assert "--unshare-net" in words


def test_command_keeps_a_bind_that_holds_the_working_directory(tmp_path: Path) -> None:
    bind = trees.Bind(source=tmp_path, target=Path("/build"), writable=True)
    words = tree(tmp_path).command(["true"], binds=[bind], cwd=Path("/build/x"), network=True)
    assert words[words.index("/build") - 2 : words.index("/build")] == ["--bind", str(tmp_path)]
    assert words[words.index("--chdir") + 1] == "/build/x"
    assert "--unshare-net" not in words
