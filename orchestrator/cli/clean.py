# SPDX-License-Identifier: Apache-2.0
"""`ringbed clean`: what is left of killed runs, and caches that nothing uses any more."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from orchestrator import paths
from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, RunsDir, example
from orchestrator.run import directory

CACHES = ("trees", "images", "build", "snapshots", "venv", "packages", "probe")


def disk_usage(path: Path) -> int:
    """Bytes that a file or a directory takes on its disk."""
    if path.is_symlink() or not path.is_dir():
        # Sparse files (snapshots, images) count as what they take.
        return path.lstat().st_blocks * 512
    return sum(disk_usage(entry) for entry in path.iterdir())


def _remove(path: Path, dry_run: bool) -> int:
    taken = disk_usage(path)
    verb = "would remove" if dry_run else "removed"
    if not dry_run:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    output.out.print(f"{verb} {path}  {output.size(taken)}", soft_wrap=True)
    return taken


def clean(
    caches: Annotated[
        bool, typer.Option("--caches", help="Also snapshots, builds, images and trees.")
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="The whole cache, downloaded packages and Python included."),
    ] = False,
    runs: Annotated[
        bool, typer.Option("--runs", help="Also the directories of runs that did not finish.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what goes.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Remove what killed runs left behind; with options also caches and unfinished runs."""
    from orchestrator.vm import sweep

    freed = 0
    if not dry_run:
        for sentence in sweep.sweep_stale():
            output.out.print(sentence)
    if runs:
        for run in directory.list_runs(runs_dir):
            if run.state() in ("crashed", "interrupted", "failed", "new"):
                freed += _remove(run.path, dry_run)
    if caches or everything:
        # The environment this process runs in, and the packages that took the network to get,
        # stay unless all is to go.
        kept = () if everything else ("venv", "packages")
        for name in CACHES:
            root = paths.cache(name)
            if name in kept or not root.is_dir():
                continue
            for entry in sorted(root.iterdir()):
                if name == "trees" and entry.name.startswith("tools-") and not everything:
                    continue
                freed += _remove(entry, dry_run)
    output.out.print(f"{'would free' if dry_run else 'freed'} {output.size(freed)}")


def register(app: typer.Typer) -> None:
    app.command(epilog=example("clean --caches --dry-run"))(clean)
