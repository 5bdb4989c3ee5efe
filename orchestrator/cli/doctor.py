# SPDX-License-Identifier: Apache-2.0
"""`ringbed doctor`: what this host can do."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import Json, Quiet, Verbose, example
from orchestrator.cli.progress import reporter
from orchestrator.errors import ExitCode


def doctor(
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Prove the accelerator again.")
    ] = False,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Show what this host offers, and which accelerator guests will use and why."""
    from orchestrator.host import probe
    from orchestrator.imaging import list_images

    with reporter(output.err, silent=as_json or output.is_quiet()):
        images = list_images()
        facts = probe.probe_host(images[-1].kernel if images else None, refresh=refresh)
        rows = probe.doctor_rows(facts)
    if as_json:
        output.show_json([asdict(row) for row in rows])
    else:
        cells: list[list[str | Text]] = [
            [output.styled(row.status), row.name, row.value] for row in rows
        ]
        output.show(output.table("", ["", "what", "found"], cells))
        for row in rows:
            if row.hint:
                output.out.print(f"\n{row.name}: {row.hint}", soft_wrap=True)
    if any(row.status == "fail" for row in rows):
        raise typer.Exit(ExitCode.NOT_MEASURED)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("doctor"))(doctor)
