# SPDX-License-Identifier: Apache-2.0
"""The README of a bundle: what it is, how it is repeated, and what then comes out."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator import process
from orchestrator.analysis import Results
from orchestrator.report.bundle import layout
from orchestrator.report.bundle.layout import Entry
from orchestrator.report.claims import claim_rows, markdown_table
from orchestrator.report.terminal import summary_rows
from orchestrator.run import journal, stored
from orchestrator.run.directory import RunDirectory
from orchestrator.words import count_of

MIB = 2**20
# Measured with all caches empty: docs/artifact-evaluation.md, "What it takes".
BUILDS = "6 minutes on 2 shared cores of an Intel Xeon at 2.5 GHz"
IDENTICAL = "every file of every trial has the same bytes"
ALIKE = "no metric differs beyond the tolerance; files of trials hold times and differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a reproduction takes. disk: bytes beside the bundle; memory: bytes of guests."""

    disk: int
    memory: int


def selection_words(run: RunDirectory) -> list[str]:
    """The options of `run` that choose what this run measured."""
    chosen = stored.read_plan(run)["selection"]
    words = [word for change in chosen["overrides"] for word in ("--set", change)]
    words += [word for pattern in chosen["only"] for word in ("--only", pattern)]
    for name in ("repeat", "seed"):
        words += [] if chosen[name] is None else [f"--{name}", str(chosen[name])]
    return words


def needs(run: RunDirectory, source: Path, image: str, wheels: Sequence[Path]) -> Needs:
    """Estimated from what lock files and wheels say of themselves."""
    installed = {
        name: _lock_field(source / "images" / f"{name}.lock", "installed-kib") * 1024
        for name in ("tools", "build", image)
    }
    memory = int(stored.read_plan(run)["demand"]["memory_bytes"])
    python = sum(_unpacked(path) for path in wheels)
    # The image is a tar, a tar in order and a file system while it is built; a tree has links and
    # blocks that are not full; of a snapshot at most the guests' memory is on disk.
    trees = (installed["tools"] + installed["build"]) * 5 // 4
    return Needs(disk=trees + 4 * installed[image] + 2 * python + memory, memory=memory)


def render(results: Results, run: RunDirectory, entries: Sequence[Entry], need: Needs) -> str:
    """The text of README.md."""
    manifest = results.manifest
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    folders = {entry.folder for entry in entries}
    took = journal.progress(run.journal).seconds
    return environment.get_template("readme.md.j2").render(
        title=manifest.get("title") or results.run,
        manifest=manifest,
        host=manifest["host"],
        packages=layout.PACKAGES in folders,
        again=process.shell_form(["./ringbed", "run", "EXPERIMENT", *selection_words(run)]),
        time_trials=f"{sum(took.values()):.0f} s",
        time_builds=BUILDS,
        trials=count_of(len(took), "trial"),
        disk=_size(need.disk),
        size=_size(sum(entry.path.stat().st_size for entry in entries)),
        memory=_size(need.memory),
        expected=IDENTICAL if manifest["clock"] == "virtual" else ALIKE,
        summary="\n".join(_markdown(summary_rows(results))),
        claims="\n".join(markdown_table(*claim_rows(results.claims))) if results.claims else "",
        folders=[(name, text) for name, text in layout.FOLDERS.items() if name in folders],
    )


def _markdown(table: tuple[list[str], list[list[str]]]) -> list[str]:
    headers, rows = table
    return markdown_table([header.rstrip(">") for header in headers], rows)


def _lock_field(lock: Path, name: str) -> int:
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"# {name}: "):
            return int(line.rpartition(" ")[2])
    return 0


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as opened:
        return sum(info.file_size for info in opened.infolist())


def _size(value: float) -> str:
    return f"{value / MIB / 1024:.1f} GiB" if value >= 1024 * MIB else f"{value / MIB:.0f} MiB"


def facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What bundle.json repeats of the manifest, for whoever looks at nothing else."""
    return {key: manifest[key] for key in ("run", "name", "clock", "inputs", "ringbed")}
