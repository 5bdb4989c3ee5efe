# SPDX-License-Identifier: Apache-2.0
"""Options that more than one verb has, each written once."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator import paths
from orchestrator.errors import UsageError
from orchestrator.run import directory

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

# Both are read before any verb (`main.hoisted`); a verb that honours them names them in its help.
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        metavar="",
        show_default=False,
        help="Say more (-vv: everything).",
    ),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")]

# The launcher obeys it and keeps it to itself: whoever gets as far as a verb has all it needs.
NoInstall = Annotated[
    bool,
    typer.Option(
        "--no-install",
        help="Install no packages on this host and build no tools: say what is missing, and stop.",
    ),
]

RunsDir = Annotated[
    Path,
    typer.Option(
        "--runs-dir",
        metavar="DIR",
        envvar="RINGBED_RUNS",
        help="Where the directories of runs are.",
    ),
]

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run: its path, name or the end of it, an experiment (its newest run), or latest.",
    ),
]

Experiment = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A name below experiments/, or a file.")
]

Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the experiment, such as workload.connections=64. Repeatable.",
    ),
]

Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="PATTERN",
        help="Only these trials: a variant (shell pattern) or key=value. Repeatable.",
    ),
]

Repeat = Annotated[
    int | None,
    typer.Option("--repeat", metavar="N", min=1, help="Repetitions instead of the file's."),
]

Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Seed instead of the file's.")
]

Locked = Annotated[
    bool,
    typer.Option("--locked", help="Fail when a package of a lock file is no longer to be had."),
]

Archive = Annotated[
    str,
    typer.Option(
        "--archive",
        metavar="URL",
        envvar="RINGBED_ARCHIVE",
        help="Debian archive to use; default: the one of the host's apt sources.",
    ),
]

Connect = Annotated[
    str,
    typer.Option(
        "--connect",
        metavar="URI",
        help="libvirt to use: embed (inside this process), qemu:///system, qemu+ssh://HOST/system.",
    ),
]

# docs/scale-out.md explains the four of them.
ExecutorKind = Annotated[
    Literal["local", "slurm"],
    typer.Option("--executor", help="Where trials run: here, or as jobs of Slurm."),
]

Hosts = Annotated[
    list[str],
    typer.Option(
        "--connect",
        metavar="URI",
        show_default="embed",
        help="libvirt to use: embed (inside this process), qemu:///system, "
        "qemu+ssh://HOST/system. Repeatable: several hosts.",
    ),
]

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        max=256,
        show_default=False,
        help="Slots: trials that run at the same time. Default: 1; on the virtual clock, where "
        "they do not disturb each other, as many as this host has cores.",
    ),
]

SlurmConfig = Annotated[
    Path | None,
    typer.Option(
        "--slurm-config",
        metavar="FILE",
        envvar="RINGBED_SLURM",
        help="Settings for Slurm's jobs instead of ~/.config/ringbed/slurm.toml.",
    ),
]

Suite = Annotated[
    str, typer.Argument(metavar="SUITE", help="A name below experiments/suites/, or a file.")
]

Baselines = Annotated[
    Path | None,
    typer.Option(
        "--baselines",
        metavar="DIR",
        envvar="RINGBED_BASELINES",
        help="Where accepted baselines are; default: baselines/ of the checkout.",
    ),
]

History = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="DIR",
        envvar="RINGBED_HISTORY",
        help="Where the history of nightly results is; default: history/ of the runs' directory.",
    ),
]


def baselines_dir(given: Path | None) -> Path:
    return given or paths.project("baselines")


def history_dir(given: Path | None, runs_dir: Path) -> Path:
    return given or runs_dir / "history"


RUNS_DIR = directory.RUNS_DIR
EMBED = "embed"


def check_writable(option: str, file: Path) -> None:
    """Before what takes long, not after it. Raises UsageError."""
    if file.is_dir():
        raise UsageError(f"{option}: {file} is a directory", hint="name a file in it")
    if not file.parent.is_dir():
        raise UsageError(f"{option}: there is no directory {file.parent}", hint="make it first")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"{option}: {file} cannot be written", hint="choose another file")


def example(text: str) -> str:
    """The epilog of a verb: one command that works."""
    return f"Example: **./ringbed {text}**"
