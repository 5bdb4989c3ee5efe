# SPDX-License-Identifier: Apache-2.0
"""manifest.json: everything one must know to judge or repeat a run, beside the raw data."""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator import paths, process
from orchestrator.errors import CommandError
from orchestrator.host import durable
from orchestrator.run import estimate, repository
from orchestrator.run.compose import record
from orchestrator.run.directory import RunDirectory
from orchestrator.run.execute import GuestBench
from orchestrator.run.plan import Plan
from orchestrator.run.supplies import Supplies
from orchestrator.spec import dump_experiment
from orchestrator.spec.model import Experiment
from orchestrator.stacks.device import READ_BACK

FORMAT = 2
UNFINISHED = "unfinished"
_NO_PROSE = (":!docs", ":!*.md")


class Manifest:
    """Written before the first trial and again whenever more is known, so that a run that was
    killed can still be read.

    `machines` tells of the guests as they were last; `sessions` has an entry for each process
    that worked on the run, with every start of a guest in it. `trial_readback` is there at the end.
    """

    def __init__(self, run: RunDirectory, data: dict[str, Any]) -> None:
        self._run = run
        # Testbeds renew their guests in threads of their own.
        self._lock = threading.Lock()
        self.data = data

    def resume(self, command: Sequence[str]) -> None:
        """Another process goes on with the run."""
        for session in self.data["sessions"]:
            if session["ended"] is None:
                session["outcome"] = "crashed"
        self.data |= {"ended": None, "outcome": UNFINISHED}
        self.begin_session(command, source_state(self._run.path, len(self.data["sessions"]) + 1))

    def begin_session(self, command: Sequence[str], source: Mapping[str, Any]) -> None:
        self.data["sessions"].append(
            {
                "command": process.shell_form(command),
                "started": utc(),
                "ended": None,
                "outcome": UNFINISHED,
                "ringbed": source,
                "machines": [],
            }
        )
        self._write()

    def add_bench(self, bench: GuestBench) -> None:
        """What the guests are that just came up."""
        with self._lock:
            for name, facts in bench.describe().items():
                key = f"{bench.topology.id}/{name}"
                self.data["machines"][key] = facts
                started = {what: facts[what] for what in ("boot", "qemu_argv")}
                starts = self.data["sessions"][-1]["machines"]
                starts.append({"name": key, "ready": utc(), **started})
            self._write()

    def end(self, outcome: str) -> None:
        with self._lock:
            ending = {"ended": utc(), "outcome": outcome}
            self.data |= ending | {"trial_readback": _trial_readback(self._run)}
            self.data["sessions"][-1] |= ending
            self._write()

    def _write(self) -> None:
        durable.write_json(self._run.manifest, self.data)


def begin(
    run: RunDirectory,
    experiment: Experiment,
    plan: Plan,
    supplies: Supplies,
    command: Sequence[str],
    slots: int,
) -> Manifest:
    """The manifest at the start of a run, written. slots: trials that run at the same time."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "run": run.name,
        "name": experiment.name,
        "title": experiment.title,
        "command": process.shell_form(command),
        "started": utc(),
        "ended": None,
        "outcome": UNFINISHED,
        "clock": plan.clock,
        "seed": plan.seed,
        "repetitions": plan.repetitions,
        "experiment": dump_experiment(experiment),
        "ringbed": source_state(run.path, 1),
        "inputs": dict(supplies.inputs),
        "accelerator": {
            "kind": supplies.accelerator.kind,
            "proof": supplies.accelerator.proof,
            "reason": supplies.accelerator.reason,
        },
        "host": asdict(supplies.host),
        "image": {
            "name": plan.image,
            "hash": supplies.image.hash,
            "kernel_release": supplies.image.kernel_release,
            "packages": dict(supplies.image.packages),
            "sha256": dict(supplies.image.sha256),
            "drifted": supplies.image.drifted,
        },
        "tools": {
            "packages": {package.name: package.version for package in supplies.tools.packages},
            "drift": list(supplies.tools.drift),
            "python": sys.version.split()[0],
        },
        "estimate_ns": round(estimate.run_s(plan, slots) * 1e9),
        "machines": {},
        "sessions": [],
        "trials": [record(trial) for trial in plan.trials],
    }
    manifest = Manifest(run, data)
    manifest.begin_session(command, data["ringbed"])
    return manifest


def _trial_readback(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """What trials set for themselves, as their machines read it back, by trial and file: huge
    pages, and the driver of a NIC while a stack had it and after it. Trials on Linux set nothing.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind in READ_BACK:
        for path in sorted(run.trials.glob(f"*/*-{kind}.json")):
            try:
                told = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                continue  # the program failed half-way, as did the trial
            found.setdefault(path.parent.name, {})[path.stem] = told
    return found


def source_state(into: Path, session: int) -> dict[str, Any]:
    """Version and commit of the checkout, and what in it is not committed: the diff is kept in the
    run as the file `diff`, of files that git does not know the names. Prose does not count."""
    state: dict[str, Any] = {"version": orchestrator.__version__, "commit": "", "dirty": False}
    if not (paths.PROJECT / ".git").exists():
        # A repository above an unpacked source is not the source's own.
        return state
    try:
        state["commit"] = _git("rev-parse", "HEAD").strip()
        diff = _git("diff", "HEAD", "--", *_NO_PROSE)
        unknown = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *_NO_PROSE)
    except CommandError:
        # The content hashes in `inputs` still identify it.
        return state
    untracked = sorted(name for name in unknown.split("\0") if name)
    name = ""
    if diff:
        name = "dirty.diff" if session == 1 else f"dirty-{session}.diff"
        durable.write_text(into / name, diff)
    return {**state, "dirty": bool(diff or untracked), "diff": name, "untracked": untracked}


def _git(*arguments: str) -> str:
    # Reading is all that happens.
    return repository.git(*arguments, env={"GIT_OPTIONAL_LOCKS": "0"}).stdout


def utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def command_line() -> list[str]:
    """How the user called ringbed."""
    launcher = os.environ.get("RINGBED_LAUNCHER", "./ringbed")
    return [launcher, *sys.argv[1:]]
