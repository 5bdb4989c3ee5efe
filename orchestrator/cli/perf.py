# SPDX-License-Identifier: Apache-2.0
"""`ringbed perf`: what parts of the dataplane cost by themselves."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import Json, Quiet, Verbose, check_writable, example
from orchestrator.cli.progress import reporter
from orchestrator.errors import ExitCode
from orchestrator.log import step


def perf(
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Write the page of docs/ there, too."),
    ] = None,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Count the instructions of the TCP/IP library per request and per connection.

    Exit code 1 when a figure is above its bar.
    """
    from orchestrator.host import bench
    from orchestrator.host.owned import OwnedDirectory, new_token
    from orchestrator.report import bench as views
    from orchestrator.run import manifest

    if page is not None:
        check_writable("--page", page)
    figures: list[bench.Figure] = []
    silent = as_json or output.is_quiet()
    with caches_in_use(), reporter(output.err, silent=silent):
        for case in bench.CASES:
            with step(f"counting: {case.name}"):
                figures.append(bench.measure(case, figures))
    if page is not None:
        with OwnedDirectory(new_token()) as scratch:  # for a diff that the page only mentions
            source = manifest.source_state(scratch.path, 1)
        page.write_text(views.page(figures, source), encoding="utf-8")
    if as_json:
        output.show_json([{**asdict(one), "met": one.met} for one in figures])
    else:
        rows = [views.row(one) for one in figures]
        output.show_table("What the TCP/IP library costs", views.HEADERS, rows)
    if not all(one.met for one in figures):
        raise typer.Exit(ExitCode.NOT_MET)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("perf --page docs/performance.md"))(perf)
