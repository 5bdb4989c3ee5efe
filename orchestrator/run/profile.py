# SPDX-License-Identifier: Apache-2.0
"""A trial of the virtual clock once more, under the plugin that profiles it.

The session is the trial's own, from the same snapshot with the same input, so what it leaves must
be the trial's files, byte for byte. The addresses of Linux's symbols come from a second session of
the same snapshot, which sets the trial up and then reads them out: the trial's own is not touched.
"""

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ExitCode, RingbedError, UsageError
from orchestrator.host import plugin
from orchestrator.host.ext4 import extract, files_with
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.log import step
from orchestrator.run import determinism, journal, session, stored
from orchestrator.run.compose import label
from orchestrator.run.directory import RunDirectory
from orchestrator.run.plan import Trial
from orchestrator.run.sealedbed import SealedTestbed, Symbols
from orchestrator.run.supplies import Supplies

PAGE = 4096
VDSO = "[vdso]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """What a profiled trial left, for analysis.

    counts, pages: what accounting/profile.c wrote. kallsyms: Linux's symbols, as it prints them.
    objects: by its name in the guest, an ELF file that may have been executed.
    """

    trial: Trial
    label: str
    counts: Path
    pages: Path
    kallsyms: str
    objects: dict[str, Path]
    seconds: float


class NotTheSame(RingbedError):
    """The trial gave other bytes than before: a profile of it would be of something else."""

    exit_code = ExitCode.NOT_MET


def profile(run: RunDirectory, trial_id: str, settings: session.Settings, into: Path) -> Profiled:
    """Repeat a trial of a run, which the caller holds, and write what was seen to `into`. An older
    profile of the trial, or what differed then, is gone.

    Raises UsageError for a trial that cannot be repeated here, NotTheSame, MachineError, StepError.
    """
    if trial_id not in journal.progress(run.journal).done:
        raise UsageError(
            f"trial {trial_id} of {run.name} did not end well: nothing to compare with"
        )
    if stored.read_plan(run)["clock"] != "virtual":
        raise UsageError(
            f"{run.name} was measured on the wall clock: no trial of it can be repeated",
            hint=f"./ringbed run {run.experiment_name} --set clock=virtual",
        )
    prepared = session.reopen(run, settings, "cannot be profiled")
    trial = next(one for one in prepared.plan.trials if one.id == trial_id)
    _forget(run.profile(trial_id))
    with OwnedDirectory(new_token()) as state:
        bench = determinism.make_bench(
            run, prepared.plan, prepared.supplies, trial, state, into / "guest"
        )
        return _profile(run, bench, prepared.supplies, trial, settings, into)


def _forget(older: Path) -> None:
    """Remove an older profile, so that no file of it lies beside a newer one's."""
    if older.exists():
        shutil.rmtree(older)


def _profile(
    run: RunDirectory,
    bench: SealedTestbed,
    supplies: Supplies,
    trial: Trial,
    settings: session.Settings,
    into: Path,
) -> Profiled:
    watcher = plugin.ensure_plugin(
        supplies.tools, plugin.PROFILE, build_locked=settings.locked, archive=settings.archive
    )
    counts, pages, again = into / "counts.json", into / "pages", into / "again"
    again.mkdir()
    begin = time.monotonic()
    with step("the trial again, watched"):
        bench.execute(trial, again, plugins=(f"{watcher.path},out={counts},pages={pages}",))
    seconds = time.monotonic() - begin
    _compare(run, trial.id, again)
    with step("the kernel's symbols"):
        symbols = bench.symbols(trial)
    with step("programs and libraries"):
        objects = _objects(supplies, symbols, _split(pages), into / "objects")
    return Profiled(
        trial=trial,
        label=label(trial),
        counts=counts,
        pages=pages,
        kallsyms=symbols.kallsyms,
        objects=objects,
        seconds=seconds,
    )


def _compare(run: RunDirectory, trial_id: str, again: Path) -> None:
    found = determinism.differences(run.trial(trial_id), again)
    if not found:
        return
    kept = run.profile(trial_id) / "differs"
    shutil.copytree(again, kept)
    raise NotTheSame(
        f"trial {trial_id} gave other bytes than when it was measured",
        details="\n".join(map(str, found)),
        hint=f"compare {kept} with {run.trial(trial_id)}",
    )


def _split(pages: Path) -> set[bytes]:
    data = pages.read_bytes()
    return {data[begin : begin + PAGE] for begin in range(0, len(data), PAGE)}


def _objects(
    supplies: Supplies, symbols: Symbols, pages: Collection[bytes], into: Path
) -> dict[str, Path]:
    """Our own programs, what of the root file system was executed, and Linux's page of code for
    programs, which is in no file."""
    into.mkdir()
    objects = {path.name: path for path in supplies.binaries.iterdir() if path.is_file()}
    vdso = into / "vdso"
    vdso.write_bytes(symbols.vdso)
    objects[VDSO] = vdso
    for number, path in enumerate(files_with(supplies.image.root, pages)):
        target = into / str(number)
        extract(supplies.image.root, path, target)
        objects[path] = target
    return objects
