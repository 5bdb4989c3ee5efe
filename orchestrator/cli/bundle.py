# SPDX-License-Identifier: Apache-2.0
"""`ringbed bundle`: a run as one archive that others can check and repeat."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Archive,
    Json,
    Quiet,
    RunName,
    RunsDir,
    Verbose,
    example,
)
from orchestrator.cli.progress import reporter
from orchestrator.run import directory


def bundle(
    wanted: RunName = "latest",
    target: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The archive; default: RUN.ringbed.tar.gz here."
        ),
    ] = "",
    packages: Annotated[
        bool,
        typer.Option(
            "--packages/--no-packages",
            help="Put the locked Debian and Python packages in, or leave them to the archives.",
        ),
    ] = True,
    archive: Archive = "",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Write a run, its source and its packages as one archive for artifact evaluation."""
    from orchestrator.report.bundle import make

    run = directory.find(runs_dir, wanted)
    path = Path(target or make.default_name(run))
    with caches_in_use(), reporter(output.err, silent=as_json or output.is_quiet()):
        made = make.make_bundle(run, path, packages=packages, archive_url=archive)
    if as_json:
        output.show_json(
            {
                "bundle": str(made.path),
                "bytes": made.bytes_,
                "files": made.files,
                "disk_bytes": made.needs.disk,
            }
        )
        return
    output.out.print(f"bundle   {made.path}", soft_wrap=True)
    output.out.print(f"size     {output.size(made.bytes_)}, {made.files} files")
    output.out.print(f"check    ./ringbed reproduce {made.path} --directory DIR", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("bundle latest -o artifact.tar.gz"))(bundle)
