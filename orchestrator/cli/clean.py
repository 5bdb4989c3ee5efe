# SPDX-License-Identifier: Apache-2.0
"""`ringbed clean`: what is left of killed runs, and caches that nothing uses any more."""

import fcntl
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orchestrator import paths
from orchestrator.cli import output, space
from orchestrator.cli.options import RUNS_DIR, RunsDir, Verbose, example
from orchestrator.errors import UsageError
from orchestrator.run import directory, journal
from orchestrator.run.directory import RunDirectory

# What took the network to get; all else is made again from it.
DOWNLOADS = ("apt", "packages", "venv")
# A run has no journal yet while it is being set up.
YOUNG_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """One line of the output. whole: nothing in `place` stays, so that it goes as well."""

    place: Path
    entries: tuple[Path, ...]
    whole: bool


@contextmanager
def caches_in_use() -> Iterator[None]:
    """Tell `clean` that the caches are needed while the context lasts."""
    root = paths.cache()
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def clean(
    caches: Annotated[
        bool,
        typer.Option(
            "--caches", help="Also what can be built again without a network, such as images."
        ),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="The whole cache, downloads too; all but what this command runs on."
        ),
    ] = False,
    runs: Annotated[
        bool, typer.Option("--runs", help="Also the directories of runs that did not finish.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be removed.")
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
    _verbose: Verbose = 0,
) -> None:
    """Remove what killed runs left behind; with options also caches and unfinished runs."""
    _sweep(dry_run)
    freed = 0
    with _alone(runs_dir, caches or everything) as root:
        if runs:
            output.out.print()
            freed += _clean_runs(runs_dir, dry_run)
        if root is not None:
            needed = _own_places(root)
            output.out.print()
            heaps = _heaps(root, needed, () if everything else DOWNLOADS)
            freed += _clean_heaps(root, heaps, dry_run)
    if caches or everything or runs:
        output.out.print()
        output.out.print(f"{'would free' if dry_run else 'freed'} {output.size(freed)}")
    if everything and root is not None and needed:
        output.out.print("\nkept, because this command runs on it; to remove it as well:")
        words = shlex.join(str(place) for place in needed)
        output.out.print(f"  rm -rf {words}", soft_wrap=True)


# -- who is at work


def _sweep(dry_run: bool) -> None:
    """Remove what processes that were killed left: guests, sockets, directories."""
    from orchestrator.vm import sweep

    done = [] if dry_run else sweep.sweep_stale()
    if dry_run:
        done = [
            f"would remove what run {place.name} had left behind"
            for place in _states()
            if not _is_leased(place) and not _is_owned(place)
        ]
    for sentence in done:
        output.out.print(sentence)
    if not done:
        output.out.print("no killed run left anything behind")


def _states() -> list[Path]:
    from orchestrator.host.owned import OWNER

    root = paths.state()
    return sorted(place.parent for place in root.glob(f"*/{OWNER}")) if root.is_dir() else []


def _is_leased(place: Path) -> bool:
    from orchestrator.vm.state import LEASE

    return (place / LEASE).exists()


def _is_owned(place: Path) -> bool:
    """Whether a living process owns a state directory; one that is gone by now has no owner."""
    from orchestrator.host.owned import OwnerLock

    lock = OwnerLock(place)
    if lock.take():
        lock.release()
        return False
    return place.exists()


@contextmanager
def _alone(runs_dir: Path, wanted: bool) -> Iterator[Path | None]:
    """The cache while nobody else uses it; None when it is not wanted, or there is none.

    Raises UsageError when somebody does.
    """
    root = paths.cache().resolve()
    if not wanted or not root.is_dir():
        yield None
        return
    if users := _users(runs_dir):
        raise _busy(users)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy([f"another ringbed is at work: fuser -v {root} names it"]) from None
        if held := [lock for lock in sorted(root.glob("*/*.lock")) if _is_held(lock)]:
            raise _busy([f"something is being built: {lock}" for lock in held])
        yield root
    finally:
        os.close(descriptor)


def _busy(users: Sequence[str]) -> UsageError:
    return UsageError(
        "the caches are in use; nothing was removed from them",
        details="\n".join(users),
        hint="wait for it or end it (./ringbed vm down ends machines that are up), and try again",
    )


def _users(runs_dir: Path) -> list[str]:
    """A line for each run and each set of machines that needs the caches."""
    from orchestrator.vm.lease import list_leases

    lines = [
        f"machines {lease.token} are up: {', '.join(m.name for m in lease.machines)}"
        f" ({lease.purpose})"
        for lease in list_leases()
    ]
    owned = [place.name for place in _states() if not _is_leased(place) and _is_owned(place)]
    lines += [f"machines {token} belong to a command that is running" for token in owned]
    running = [run.name for run in directory.list_runs(runs_dir) if run.is_running()]
    return lines + [f"run {name} is running" for name in running]


def _is_held(lock: Path) -> bool:
    """Whether somebody holds a lock file: a build is under way."""
    with suppress(FileNotFoundError):
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


# -- caches


def _own_places(root: Path) -> list[Path]:
    """The tools tree and the Python environment of this process, where they are in the cache."""
    named = (os.environ.get(name, "") for name in ("RINGBED_TOOLS", "RINGBED_VENV"))
    places = [Path(place).resolve() for place in named if place]
    return [place for place in places if place.is_relative_to(root) and place.exists()]


def _heaps(root: Path, needed: Sequence[Path], without: Sequence[str]) -> list[Heap]:
    """Whatever lies in the cache, by its first level, without `without`."""
    heaps = []
    for place in sorted(root.iterdir()):
        if place.name in without:
            continue
        is_directory = place.is_dir() and not place.is_symlink()
        inside = sorted(place.iterdir()) if is_directory else [place]
        kept = [entry for entry in inside if entry in needed]
        for entry in inside:
            if mounts := space.mounted_inside(entry):
                output.warn(f"{entry} stays: something is mounted at {mounts[0]}")
                kept.append(entry)
        going = tuple(entry for entry in inside if entry not in kept)
        whole = is_directory and not kept and not space.mounted_inside(place)
        heaps.append(Heap(place=place, entries=going, whole=whole))
    return heaps


def _clean_heaps(root: Path, heaps: Sequence[Heap], dry_run: bool) -> int:
    rows: list[list[str | Text]] = []
    freed = 0
    for heap in heaps:
        # A file with two names counts once, in the sum as on the disk.
        taken = space.disk_usage(*heap.entries)
        freed += taken
        for entry in heap.entries if output.is_verbose() else ():
            output.out.print(f"{entry}  {output.size(space.disk_usage(entry))}", soft_wrap=True)
        if not dry_run:
            for place in (heap.place,) if heap.whole else heap.entries:
                space.remove(place)
        # Lock files are no contents.
        count = sum(1 for entry in heap.entries if entry.suffix != ".lock")
        if count:
            rows.append([heap.place.name, str(count), output.size(taken)])
    if rows:
        title = f"{'would remove from' if dry_run else 'removed from'} {root}"
        output.show_table(title, ["cache", "entries>", "size>"], rows)
    return freed


# -- runs


def _clean_runs(runs_dir: Path, dry_run: bool) -> int:
    """Remove the runs that did not finish, each under its lock."""
    freed = 0
    rows: list[list[str | Text]] = []
    for run in directory.list_runs(runs_dir):
        state = run.state()
        if state not in ("crashed", "interrupted", "failed", "new"):
            continue
        if state == "new" and time.time() - run.path.stat().st_mtime < YOUNG_S:
            output.warn(f"{run.name} stays: it may be about to begin")
            continue
        taken = space.disk_usage(run.path)
        if not dry_run and not _remove_run(run):
            output.warn(f"{run.name} stays: it was taken up again meanwhile")
            continue
        rows.append([run.name, output.styled(state), output.size(taken)])
        freed += taken
    if rows:
        title = "would remove from" if dry_run else "removed from"
        output.show_table(f"{title} {runs_dir}", ["run", "state", "size>"], rows)
    return freed


def _remove_run(run: RunDirectory) -> bool:
    """False when another process has it, or finished it before its lock was ours."""
    try:
        with run.locked():
            if journal.progress(run.journal).ended == "ok":
                return False
            return space.remove(run.path)
    except UsageError:
        return False


def register(app: typer.Typer) -> None:
    app.command(epilog=example("clean --caches --dry-run"))(clean)
