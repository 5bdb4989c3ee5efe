# SPDX-License-Identifier: Apache-2.0
"""The source that a run was made from: its commit, and what was not committed."""

import json
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator import paths, process
from orchestrator.errors import CommandError, UsageError
from orchestrator.report.bundle import layout

GIT_SECONDS = 60.0
# The source must be able to repeat its own run without a network.
NEEDED = "orchestrator/cli/reproduce.py"
# Inputs that are made from the source; the accelerator is the host's.
MADE = ("image", "dataplane", "tools", "code", "accounting")
_ASK = (
    "import json, sys; from orchestrator.run import supplies; "
    "print(json.dumps(supplies.foresee(sys.argv[1], sys.argv[2], locked=True).inputs))"
)


def export(manifest: Mapping[str, Any], run_dir: Path, into: Path) -> None:
    """Write the source of a run to `into`, its patch applied. Raises UsageError when it cannot be
    had, or is not what the run was made with."""
    source = manifest.get("ringbed", {})
    commit, run = source.get("commit", ""), manifest.get("run", run_dir.name)
    if not commit:
        raise UsageError(
            f"{run} was made from no git checkout, so its source cannot be named",
            hint="run the experiment again from a checkout",
        )
    if unknown := source.get("untracked"):
        raise UsageError(
            f"{run} was made with files that git does not know, of which no copy was kept",
            details="\n".join(f"  {name}" for name in unknown),
            hint="commit them and run the experiment again",
        )
    _archive(commit, into)
    if diff := source.get("diff"):
        _apply(run_dir / diff, into)
    if not (into / NEEDED).exists():
        raise UsageError(
            f"{run} was made by commit {commit[:12]}, which cannot reproduce bundles yet",
            hint="run the experiment again from the present checkout",
        )
    _check_inputs(manifest, into)


def _archive(commit: str, into: Path) -> None:
    tar = into.with_name(f"{layout.SOURCE}.tar")
    project = str(paths.PROJECT)
    argv = ["git", "-c", f"safe.directory={project}", "-C", project, "archive"]
    try:
        process.run([*argv, "--format=tar", "-o", str(tar), commit], timeout=GIT_SECONDS)
    except CommandError as error:
        raise UsageError(
            f"this checkout does not have commit {commit[:12]}, which the run was made from",
            details=error.details,
            hint="call bundle from a checkout that has it",
        ) from error
    with tarfile.open(tar) as opened:
        opened.extractall(into, filter="data")
    tar.unlink()


def _apply(patch: Path, into: Path) -> None:
    # No repository above `into` may have a say in what the paths mean.
    env = {"GIT_CEILING_DIRECTORIES": str(into.resolve().parent)}
    argv = ["git", "apply", "--whitespace=nowarn", str(patch.resolve())]
    try:
        process.run(argv, timeout=GIT_SECONDS, cwd=into, env=env)
    except CommandError as error:
        raise UsageError(
            f"{patch.name}, what was not committed when the run was made, does not apply",
            details=error.details,
            hint="commit the changes and run the experiment again",
        ) from error


def _check_inputs(manifest: Mapping[str, Any], into: Path) -> None:
    """The source must give the very inputs that the run names."""
    wanted, image = manifest["inputs"], manifest["image"]["name"]
    argv = [sys.executable, "-P", "-c", _ASK, image, manifest["clock"]]
    env = {"PYTHONPATH": str(into), "PYTHONDONTWRITEBYTECODE": "1"}
    found = json.loads(process.run(argv, timeout=GIT_SECONDS, env=env).stdout)
    other = [name for name in MADE if wanted.get(name) != found.get(name)]
    if other:
        raise UsageError(
            f"the source of {manifest['run']} does not give what the run was made with",
            details="\n".join(f"  {name}: {wanted[name]}, now {found[name]}" for name in other),
            hint="packages were resolved afresh, or the host builds otherwise; "
            "run the experiment again with --locked",
        )
