# SPDX-License-Identifier: Apache-2.0
"""Bundles: the same bytes every time, valid RO-Crate 1.1, and nothing believed unchecked.

The source is a stand-in here, because exporting the real one needs a commit of this checkout;
tests/vm/test_vm_bundle.py does that.
"""

import gzip
import io
import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from simulated_run import quickstart

from orchestrator.cli import main
from orchestrator.errors import UsageError
from orchestrator.host.hashes import format_sums, parse_sums, sha256
from orchestrator.report.bundle import layout, make, open_bundle, readme, rocrate, source
from orchestrator.run.directory import RunDirectory
from orchestrator.run.journal import Journal

HOST = {"cpu": {"model": "Example CPU", "cores": 2}, "distribution": "Debian GNU/Linux 13"}
SELECTION = {"overrides": ["a=[1, 2]"], "only": ["linux-*"], "repeat": 2, "seed": None}


def stand_in(manifest: Mapping[str, Any], run_dir: Path, into: Path) -> None:
    """A source with what a bundle looks into."""
    (into / "images").mkdir()
    for name in ("tools", "build", "guest"):
        lock = "# download-bytes: 5\n# installed-kib: 1024\n"
        (into / "images" / f"{name}.lock").write_text(lock)
    (into / "ringbed").write_text("#!/bin/sh\n")
    (into / "ringbed").chmod(0o755)
    (into / "a file with blanks & ünïcode.txt").write_text("x")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quickstart(tmp_path_factory.mktemp("runs") / "20260101T100000Z-simulated-abcdef")


@pytest.fixture
def run(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setattr(source, "export", stand_in)
    run = RunDirectory(path=tmp_path / "runs" / simulated.name)
    shutil.copytree(simulated, run.path)
    # Figures take seconds, and tests of their own look at them.
    run.report.write_text("<html></html>")
    manifest = json.loads(run.manifest.read_text())
    run.manifest.write_text(json.dumps(manifest | {"host": HOST}))
    run.plan.write_text(
        json.dumps(
            {
                "selection": SELECTION,
                "inputs": manifest["inputs"],
                "trials": manifest["trials"],
                "demand": {"memory_bytes": 1 << 30},
            }
        )
    )
    run.experiment.write_text("schema: 1\n")
    with Journal(run.journal) as journal:
        for number, trial in enumerate(manifest["trials"]):
            journal.append("trial-start", trial=trial["id"])
            journal.append("trial-end", trial=trial["id"], outcome="ok", seconds=float(number))
        journal.append("run-end", outcome="ok")
    return run


@pytest.fixture
def archive(run: RunDirectory, tmp_path: Path) -> Path:
    return make.make_bundle(run, tmp_path / "x.tar.gz", packages=False).path


def test_the_same_run_gives_the_same_bytes(run: RunDirectory, archive: Path) -> None:
    again = make.make_bundle(run, archive.parent / "elsewhere" / "y.tar.gz", packages=False)
    assert again.path.read_bytes() == archive.read_bytes()
    with tarfile.open(archive) as tar:
        infos = tar.getmembers()
    assert {(info.uid, info.gid, info.uname, info.mtime) for info in infos} == {
        (0, 0, "", 1767261751)
    }
    assert {info.mode for info in infos} == {0o644, 0o755}
    assert [info.name for info in infos] == sorted(info.name for info in infos)
    assert not [path for path in archive.parent.iterdir() if path.name.startswith(".")]


def test_every_file_is_in_the_sums_and_comes_back(archive: Path, tmp_path: Path) -> None:
    bundle = open_bundle(archive, tmp_path / "open")
    on_disk = {p.relative_to(bundle.root).as_posix() for p in bundle.root.rglob("*") if p.is_file()}
    assert set(bundle.names) == on_disk - {layout.SUMS}
    assert not bundle.has_packages and "run/run.lock" not in on_disk
    bundle.copy(layout.SOURCE, tmp_path / "copy")
    assert (tmp_path / "copy" / "ringbed").stat().st_mode & 0o111
    # An unpacked folder serves as well, and files that are not listed are no part of it.
    (bundle.root / "source" / "extra").write_text("x")
    again = open_bundle(bundle.root, tmp_path / "unused")
    again.copy(layout.SOURCE, tmp_path / "copy")
    assert not (tmp_path / "copy" / "extra").exists()


def test_a_changed_bundle_is_refused(archive: Path, tmp_path: Path) -> None:
    root = open_bundle(archive, tmp_path / "open").root
    (root / "run" / "results.csv").write_text("nicer")
    (root / "source" / "ringbed").unlink()
    (root / "source" / "ringbed").symlink_to("/bin/true")
    with pytest.raises(UsageError, match="2 files are missing or not what") as caught:
        open_bundle(root, tmp_path / "unused")
    assert "run/results.csv" in caught.value.details and "source/ringbed" in caught.value.details


def tar_of(path: Path, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(b"\0" * info.size) if info.isreg() else None)
    return path


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def test_what_is_no_bundle_is_refused(archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[:-5000])
    plain = tmp_path / "plain.tar.gz"
    plain.write_bytes(gzip.compress(b"no tar"))
    bad = [
        cut,
        plain,
        tmp_path / "absent",
        tar_of(tmp_path / "up.tar.gz", tarfile.TarInfo("top/../../out")),
        tar_of(tmp_path / "link.tar.gz", link("top/run")),
        tar_of(tmp_path / "empty.tar.gz", tarfile.TarInfo("top/file")),
    ]
    for path in bad:
        with pytest.raises(UsageError, match="bundle"):
            open_bundle(path, tmp_path / "in" / "open")
    assert not (tmp_path / "out").exists() and not (tmp_path / "in" / "out").exists()


def test_an_unfinished_run_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    with Journal(run.journal) as journal:
        journal.append("run-end", outcome="failed")
    with pytest.raises(UsageError, match="is failed"):
        make.make_bundle(run, tmp_path / "x.tar.gz", packages=False)


def test_the_readme_says_how_and_what_to_expect(archive: Path, tmp_path: Path) -> None:
    text = (open_bundle(archive, tmp_path / "open").root / layout.README).read_text()
    assert "run EXPERIMENT --set 'a=[1, 2]' --only 'linux-*' --repeat 2" in text
    assert "./ringbed reproduce ." in text and "sha256sum --quiet --check SHA256SUMS" in text
    assert "linux-echo-reuseport |" in text and "not reproduced" in text
    assert re.search(r"\| Disk \| 1\.0 GiB", text) and "1.0 GiB for the guests" in text
    assert str(tmp_path) not in text


def test_words_of_a_selection(run: RunDirectory) -> None:
    words = ["--set", "a=[1, 2]", "--only", "linux-*", "--repeat", "2"]
    assert readme.selection_words(run) == words


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256(tmp_path / "f") == empty
    sums = {"b c": empty, "a": empty}
    assert format_sums(sums) == f"{empty}  a\n{empty}  b c\n"
    assert parse_sums(format_sums(sums), "x") == sums
    with pytest.raises(UsageError, match="x:1"):
        parse_sums("not a sum\n", "x")


# -- RO-Crate 1.1, as far as it can be checked without its context document


def check_crate(document: Any) -> dict[str, dict[str, Any]]:
    """The rules of https://w3id.org/ro/crate/1.1; the entities by @id."""
    assert set(document) == {"@context", "@graph"}
    assert document["@context"] == "https://w3id.org/ro/crate/1.1/context"
    graph = document["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph), "an @id is used twice"
    for entity in graph:
        assert entity["@type"] and re.fullmatch(r"[\x21-\x7e]+", entity["@id"])
        for key, value in entity.items():
            for one in value if isinstance(value, list) else [value]:
                # Flattened: nothing nested but references, and every reference leads somewhere.
                assert isinstance(one, str) or set(one) == {"@id"}, (key, one)
                assert isinstance(one, str) or one["@id"] in entities, (key, one)
    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["@type"] == "CreativeWork" and descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = entities["./"]
    assert root["@type"] == "Dataset" and root["name"] and root["description"]
    assert date.fromisoformat(root["datePublished"])
    assert entities[root["license"]["@id"]]["name"]
    check_parts(entities)
    return entities


def check_parts(entities: dict[str, dict[str, Any]]) -> None:
    """Every data entity is a part of the root, directly or not."""
    reached, waiting = set(), ["./"]
    while waiting:
        for part in entities[waiting.pop()].get("hasPart", []):
            assert part["@id"] not in reached
            reached.add(part["@id"])
            waiting.append(part["@id"])
    data = {name for name, one in entities.items() if one["@type"] in ("File", "Dataset")}
    assert reached == data - {"./"}
    for name in reached:
        assert not urlsplit(name).scheme and not name.startswith(("/", "./"))
        assert name.endswith("/") == (entities[name]["@type"] == "Dataset")


def references_profile(document: Any) -> Any:
    """RO-Crate lets the profile be referred to without an entity of its own."""
    graph = [*document["@graph"], {"@id": rocrate.PROFILE, "@type": "CreativeWork"}]
    return {**document, "@graph": graph}


def test_the_metadata_is_valid_and_names_every_file(archive: Path, tmp_path: Path) -> None:
    bundle = open_bundle(archive, tmp_path / "open")
    document = json.loads((bundle.root / layout.METADATA).read_text(encoding="utf-8"))
    entities = check_crate(references_profile(document))
    files = {unquote(name): one for name, one in entities.items() if one["@type"] == "File"}
    assert set(files) == {*bundle.names, layout.SUMS} - {layout.METADATA}
    for name, entity in files.items():
        assert entity["contentSize"] == str((bundle.root / name).stat().st_size), name
    action = entities["#run"]
    assert action["@type"] == "CreateAction" and action["result"] == {"@id": "run/"}


def test_the_check_of_metadata_finds_faults(archive: Path, tmp_path: Path) -> None:
    bundle = open_bundle(archive, tmp_path / "open")
    text = (bundle.root / layout.METADATA).read_text(encoding="utf-8")
    for before, after in (
        ('"hasPart"', '"has"'),
        ('"@id": "run/manifest.json"', '"@id": "run/other.json"'),
        ('"datePublished": "2026', '"datePublished": "26'),
        ("a%20file%20with", "a file with"),
    ):
        assert before in text
        with pytest.raises((AssertionError, ValueError)):
            check_crate(references_profile(json.loads(text.replace(before, after, 1))))


def test_the_verbs_say_what_they_made(run: RunDirectory, tmp_path: Path) -> None:
    target = tmp_path / "a.tar.gz"
    words = ["-q", "bundle", str(run.path), "--no-packages", "-o", str(target)]
    assert main.invoke(words) == 0 and target.exists()
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "thesis.tex").write_text("")
    assert main.invoke(["-q", "reproduce", str(target), "--directory", str(desk)]) == 2
    assert [path.name for path in desk.iterdir()] == ["thesis.tex"]
