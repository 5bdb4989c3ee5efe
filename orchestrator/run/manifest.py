# SPDX-License-Identifier: Apache-2.0
"""manifest.json: everything one must know to judge or repeat a run, beside the raw data."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator import paths, process
from orchestrator.errors import CommandError
from orchestrator.run.compose import record
from orchestrator.run.directory import RunDirectory
from orchestrator.run.plan import Plan
from orchestrator.run.supplies import Supplies
from orchestrator.run.testbed import Testbed
from orchestrator.spec import dump_experiment
from orchestrator.spec.model import Experiment

FORMAT = 1


class Manifest:
    """Written before the first trial and again whenever more is known, so that a run that was
    killed can still be read."""

    def __init__(self, run: RunDirectory, data: dict[str, Any]) -> None:
        self._run = run
        self.data = data

    def write(self) -> None:
        temporary = self._run.manifest.with_suffix(".new")
        temporary.write_text(
            json.dumps(self.data, indent=1, ensure_ascii=False, default=str) + "\n",
            encoding="utf-8",
        )
        temporary.replace(self._run.manifest)

    def add_testbed(self, testbed: Testbed) -> None:
        """What the guests are, and what the playbook read back in them."""
        for name, machine in testbed.machines.items():
            key = f"{testbed.topology.id}/{machine.name}"
            boot = machine.boot
            self.data["machines"][key] = {
                "role": next(n.role for n in testbed.topology.nodes if n.name == name),
                "qemu_argv": machine.argv(),
                "domain_xml": machine.domain_xml,
                "boot": None if boot is None else {"how": boot.how, "seconds": boot.seconds},
                "readback": testbed.readback.get(name, {}),
            }
        self.write()

    def end(self, outcome: str) -> None:
        self.data["ended"] = _utc()
        self.data["outcome"] = outcome
        self.write()


def begin(
    run: RunDirectory,
    experiment: Experiment,
    plan: Plan,
    supplies: Supplies,
    command: list[str],
) -> Manifest:
    """The manifest at the start of a run."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "run": run.name,
        "name": experiment.name,
        "title": experiment.title,
        "command": process.shell_form(command),
        "started": _utc(),
        "ended": None,
        "outcome": "unfinished",
        "clock": plan.clock,
        "seed": plan.seed,
        "repetitions": plan.repetitions,
        "experiment": dump_experiment(experiment),
        "ringbed": {"version": orchestrator.__version__, **source_state(run.path)},
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
        "estimate_ns": plan.estimate_ns,
        "machines": {},
        "trials": [record(trial) for trial in plan.trials],
    }
    return Manifest(run, data)


def source_state(into: Path) -> Mapping[str, str | bool]:
    """Commit of the checkout; uncommitted changes are kept in the run as `dirty.diff`."""
    try:
        commit = _git("rev-parse", "HEAD").strip()
        diff = _git("diff", "HEAD", "--", ":!docs", ":!*.md")
    except CommandError:
        # Not a checkout (a release archive): the content hashes in `inputs` still identify it.
        return {"commit": "", "dirty": False}
    if diff:
        (into / "dirty.diff").write_text(diff, encoding="utf-8")
    return {"commit": commit, "dirty": bool(diff)}


def _git(*arguments: str) -> str:
    # A checkout may belong to another user (sudo): reading it is all that happens.
    argv = ["git", "-c", f"safe.directory={paths.PROJECT}", "-C", str(paths.PROJECT), *arguments]
    return process.run(argv, timeout=20, env={"GIT_OPTIONAL_LOCKS": "0"}).stdout


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def command_line() -> list[str]:
    """How the user called ringbed."""
    launcher = os.environ.get("RINGBED_LAUNCHER", "./ringbed")
    return [launcher, *sys.argv[1:]]
