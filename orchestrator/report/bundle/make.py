# SPDX-License-Identifier: Apache-2.0
"""From a run to its bundle."""

import calendar
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis import build_results
from orchestrator.errors import UsageError
from orchestrator.host import durable, plugin, trees, wheels
from orchestrator.host.hashes import format_sums, sha256
from orchestrator.log import step
from orchestrator.report.bundle import archive, layout, readme, rocrate, source
from orchestrator.report.bundle.layout import Entry
from orchestrator.report.writer import write_report
from orchestrator.run.directory import RunDirectory

# Of the run's directory: what is only of use while it runs.
_LEFT_OUT = ("run.lock",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A bundle. bytes_: its size; needs: what its reproduction takes."""

    path: Path
    bytes_: int
    files: int
    needs: readme.Needs


def default_name(run: RunDirectory) -> str:
    return f"{run.name}{layout.SUFFIX}"


def make_bundle(
    run: RunDirectory, target: Path, *, packages: bool = True, archive_url: str = ""
) -> Made:
    """Write the bundle of a finished run to `target`.

    packages: with the Debian packages and wheels. Raises UsageError for a run that cannot be
    bundled, ArchiveError when a package is not to be had.
    """
    if (state := run.state()) != "finished":
        raise UsageError(
            f"{run.name} is {state}; a bundle is made of a run that measured all it was to",
            hint=f"./ringbed resume {run.name}",
        )
    results = build_results(run.path)
    if not run.report.exists():
        with step("tables and figures"):
            write_report(run.path, results)
    manifest, image = results.manifest, results.manifest["image"]["name"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=target.parent) as name:
        work = Path(name)
        with step("source"):
            (work / layout.SOURCE).mkdir()
            source.export(manifest, run.path, work / layout.SOURCE)
        entries = [*_files(run.path, layout.RUN), *_files(work / layout.SOURCE, layout.SOURCE)]
        python = (
            wheels.ensure_wheels(work / layout.SOURCE / "requirements.lock") if packages else []
        )
        if packages:
            entries += _packages(work / layout.SOURCE / "images", image, archive_url)
            if manifest["clock"] == "virtual":
                entries.append(_qemu_source(archive_url))
            entries += [Entry(name=f"{layout.WHEELS}/{one.name}", path=one) for one in python]
        need = readme.needs(run, work / layout.SOURCE, image, python)
        entries += _own_files(work, manifest, packages)
        text = readme.render(results, run, entries, need)
        entries.append(_written(work, layout.README, text))
        entries = sorted(entries, key=lambda entry: entry.name)
        with step("metadata and checksums"):
            entries += _described(work, manifest, entries)
        with step(f"packing {len(entries)} files"):
            top = f"bundle-{run.name}"
            archive.write(entries, target, top=top, mtime=_epoch(manifest["ended"]))
    return Made(path=target, bytes_=target.stat().st_size, files=len(entries), needs=need)


def _files(root: Path, folder: str) -> Iterator[Entry]:
    """All regular files below a directory. A link could lead anywhere: there must be none."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            raise UsageError(f"{path} is a link; a bundle holds regular files")
        if path.is_file() and name not in _LEFT_OUT:
            executable = bool(path.stat().st_mode & 0o100)
            yield Entry(name=f"{folder}/{name}", path=path, executable=executable)


def _packages(images: Path, image: str, archive_url: str) -> list[Entry]:
    """The packages of all trees that the run stands on; those of several only once."""
    found = {}
    for name in ("tools", "build", image):
        for package, path in trees.fetch_packages(name, images, archive=archive_url):
            title = f"{package.name} {package.version} {package.architecture}"
            entry = Entry(name=f"{layout.PACKAGES}/{path.name}", path=path, title=title)
            found[package.sha256] = entry
    return list(found.values())


def _qemu_source(archive_url: str) -> Entry:
    """The source of QEMU, whose header the plugin that counts instructions is compiled with."""
    path = plugin.ensure_qemu_source(trees.ensure_tree("tools"), archive=archive_url)
    return Entry(name=f"{layout.SOURCES}/{path.parent.name}/{path.name}", path=path)


def _own_files(work: Path, manifest: Mapping[str, Any], packages: bool) -> list[Entry]:
    launcher = Path(__file__).with_name("launcher.sh")
    described = {"format": layout.FORMAT, "packages": packages, **readme.facts(manifest)}
    durable.write_json(work / layout.DESCRIPTION, described)
    return [
        Entry(name=layout.LAUNCHER, path=launcher, executable=True),
        Entry(name=layout.DESCRIPTION, path=work / layout.DESCRIPTION),
    ]


def _described(work: Path, manifest: Mapping[str, Any], entries: list[Entry]) -> list[Entry]:
    """The metadata, which names every other file, and the checksums, which cover it too."""
    sums = {entry.name: sha256(entry.path) for entry in entries}
    sizes = {entry.name: entry.path.stat().st_size for entry in entries}
    listed = [*entries, Entry(name=layout.SUMS, path=work / layout.SUMS)]
    # A line has the digest, two blanks, the name and its end; that of the metadata comes too.
    names = [*sums, layout.METADATA]
    sizes[layout.SUMS] = sum(64 + 2 + len(name.encode()) + 1 for name in names)
    durable.write_json(work / layout.METADATA, rocrate.metadata(manifest, listed, sizes))
    sums[layout.METADATA] = sha256(work / layout.METADATA)
    return [
        Entry(name=layout.METADATA, path=work / layout.METADATA),
        _written(work, layout.SUMS, format_sums(sums)),
    ]


def _written(work: Path, name: str, text: str) -> Entry:
    durable.write_text(work / name, text)
    return Entry(name=name, path=work / name)


def _epoch(stamp: str) -> int:
    """Seconds since 1970 of a time of the manifest: the time stamp of everything in the bundle."""
    return calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))
