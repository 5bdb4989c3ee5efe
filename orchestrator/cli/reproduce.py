# SPDX-License-Identifier: Apache-2.0
"""`ringbed reproduce`: repeat the run of a bundle from its own source and packages."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator import paths, process
from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import Json, Quiet, Verbose, example
from orchestrator.cli.progress import reporter
from orchestrator.errors import CommandError, ExitCode, InfrastructureError, UsageError
from orchestrator.log import step
from orchestrator.run import directory
from orchestrator.run.directory import RunDirectory

if TYPE_CHECKING:
    from orchestrator.analysis.reproduction import Reproduction
    from orchestrator.report.bundle import Bundle

SECONDS = 24 * 3600.0
# Names of sockets end at 107 bytes, and libvirt's own part of them is long.
LONGEST_STATE = 40
# Of a run that measured all: claims may fail, which is for the comparison to show.
_MEASURED = (ExitCode.NOT_MET, ExitCode.INCONCLUSIVE)
# What this process has of its own tools must not reach the ringbed that it starts.
_OWN = ("RINGBED_TOOLS", "RINGBED_VENV", "RINGBED_RUNS", "RINGBED_ARCHIVE", "RINGBED_LAUNCHER")
_OWN_PYTHON = ("PYTHONPATH", "PYTHONNOUSERSITE", "RINGBED_OFFLINE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a reproduction keeps what it makes. Nothing else is written to."""

    root: Path

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def expected(self) -> Path:
        return self.root / "expected"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def log(self) -> Path:
        return self.root / "reproduce.log"

    def check(self) -> None:
        """Make the directory, unless it is there from another attempt. Raises UsageError when it
        holds anything else: caches of another origin would not be empty."""
        known = {"bundle", "source", "expected", "cache", "data", "runs", "state", self.log.name}
        known |= {"reproduction.json", "reproduction.md"}
        self.root.mkdir(parents=True, exist_ok=True)
        if other := sorted(path.name for path in self.root.iterdir() if path.name not in known):
            raise UsageError(
                f"{self.root} holds other files: {', '.join(other[:5])}",
                hint="--directory names a new directory, or that of an earlier attempt",
            )

    @contextmanager
    def state(self) -> Iterator[Path]:
        """Where sockets are made: a short name, or one elsewhere that is gone afterwards."""
        own = self.root / "state"
        if len(os.fsencode(own)) <= LONGEST_STATE:
            own.mkdir(mode=0o700, exist_ok=True)
            yield own
            return
        with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as short:
            yield Path(short)


def reproduce(
    given: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A bundle, or the folder it was unpacked to.")
    ],
    place: Annotated[
        str,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Where everything is made; default: reproduced, in an unpacked bundle or here.",
        ),
    ] = "",
    host_caches: Annotated[
        bool,
        typer.Option(
            "--host-caches", help="Use this host's caches of packages, trees, images, snapshots."
        ),
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="On the wall clock: a smaller relative change counts as none.",
        ),
    ] = 0.1,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Rebuild and repeat the run of a bundle without a network, and compare."""
    from orchestrator.report.bundle import open_bundle
    from orchestrator.report.bundle.layout import REPRODUCED

    root = Path(place or (given / REPRODUCED if given.is_dir() else REPRODUCED)).absolute()
    places = Places(root=root)
    places.check()
    silent = as_json or output.is_quiet()
    with caches_in_use(), reporter(output.err, silent=silent):
        bundle = open_bundle(given, places.bundle)
        again = _repeat(bundle, places, host_caches=host_caches, silent=silent)
        with step("comparing"):
            found = _compare(bundle, places, again, tolerance)
    _show(found, places, again, as_json=as_json)
    if (code := _exit_code(found)) is not ExitCode.OK:
        raise typer.Exit(code)


def _repeat(bundle: "Bundle", places: Places, *, host_caches: bool, silent: bool) -> RunDirectory:
    """Run the bundled source with the bundled selection; the new run's directory."""
    from orchestrator.report.bundle import layout
    from orchestrator.report.bundle.readme import selection_words

    bundle.copy(layout.SOURCE, places.source)
    bundle.copy(layout.RUN, places.expected)
    (places.expected / "trials").mkdir(exist_ok=True)
    first = RunDirectory(path=places.expected)
    if not bundle.has_packages and not host_caches:
        output.warn("this bundle has no packages: they come from the host's archives")
    argv = [str(places.source / "ringbed"), "--locked", "run", str(first.experiment)]
    argv += [*selection_words(first), "--runs-dir", str(places.runs)]
    before = set(directory.list_runs(places.runs))
    places.log.unlink(missing_ok=True)
    with step("rebuilding and repeating the run"), places.state() as state:
        settings = _settings(bundle, places, state, host_caches=host_caches)
        without = [word for name in (*_OWN, *_OWN_PYTHON) for word in ("-u", name)]
        words = ["env", *without, *(f"{name}={value}" for name, value in settings.items()), *argv]
        try:
            process.stream(
                words,
                timeout=SECONDS,
                log=places.log,
                on_line=None if silent else _tell,
            )
        except CommandError as error:
            if error.returncode not in _MEASURED:
                raise
    fresh = [run for run in directory.list_runs(places.runs) if run not in before]
    if len(fresh) != 1 or fresh[0].state() != "finished":
        raise InfrastructureError("the repetition left no finished run", hint=f"read {places.log}")
    return fresh[0]


def _tell(line: str) -> None:
    """What the repetition says, told apart from what this command says."""
    output.err.print(f"  │ {line}", soft_wrap=True, markup=False)


def _settings(
    bundle: "Bundle", places: Places, state: Path, *, host_caches: bool
) -> dict[str, str]:
    """The environment of the repetition: nothing of this host's ringbed, unless it was asked for,
    and no network where the bundle has all that is needed."""
    settings = {
        "RINGBED_CACHE": str(paths.cache() if host_caches else places.cache),
        "RINGBED_STATE": str(state),
        "RINGBED_DATA": str(places.root / "data"),
        "RINGBED_LOCKED": "1",
    }
    if bundle.has_packages:
        settings["RINGBED_OFFLINE"] = str(bundle.root)
    return settings


def _compare(
    bundle: "Bundle", places: Places, again: RunDirectory, tolerance: float
) -> "Reproduction":
    from orchestrator.analysis import build_results
    from orchestrator.analysis.reproduction import reproduction
    from orchestrator.report.reproduction import write_reproduction

    first = build_results(places.expected)
    found = reproduction(first, build_results(again.path), tolerance)
    write_reproduction(places.root, found, str(bundle.description["run"]), again.name)
    return found


def _show(found: "Reproduction", places: Places, again: RunDirectory, *, as_json: bool) -> None:
    from orchestrator.report.reproduction import as_data, file_rows, metric_rows, sentence

    if as_json:
        data = as_data(found)
        output.show_json({**data, "run": str(again.path), "directory": str(places.root)})
        return
    for title, (headers, rows) in (
        ("files of trials", file_rows(found)),
        ("metrics", metric_rows(found)),
    ):
        verdict = headers.index("verdict")
        styled: list[list[str | Text]] = [
            [*row[:verdict], output.styled(row[verdict]), *row[verdict + 1 :]] for row in rows
        ]
        output.show_table(title, headers, styled)
        output.out.print()
    output.out.print(sentence(found), soft_wrap=True)
    output.out.print(f"report   {again.report}", soft_wrap=True)
    output.out.print(f"tables   {places.root / 'reproduction.md'} (and .json)", soft_wrap=True)


def _exit_code(found: "Reproduction") -> ExitCode:
    if found.failed:
        return ExitCode.NOT_MET
    return ExitCode.OK if found.decided else ExitCode.INCONCLUSIVE


def register(app: typer.Typer) -> None:
    app.command(epilog=example("reproduce artifact.tar.gz --directory /tmp/again"))(reproduce)
