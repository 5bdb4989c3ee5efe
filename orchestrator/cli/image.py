# SPDX-License-Identifier: Apache-2.0
"""`ringbed image`: guest images and the trees everything is built from."""

from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import Archive, Json, Locked, example
from orchestrator.cli.progress import reporter

app = typer.Typer(no_args_is_help=True, help="Guest images, and the trees they are built from.")

Name = Annotated[str, typer.Argument(metavar="[NAME]", help="As declared in images/NAME.toml.")]


@app.command(epilog=example("image build guest --locked"))
def build(name: Name = "guest", locked: Locked = False, archive: Archive = "") -> None:
    """Build a guest image or a tree, unless it is in the cache."""
    from orchestrator import imaging

    with reporter(output.err, silent=output.is_quiet()):
        built = imaging.ensure(name, locked=locked, archive=archive)
    output.out.print(str(built), soft_wrap=True)


@app.command("list", epilog=example("image list"))
def list_(as_json: Json = False) -> None:
    """List what is declared in images/, and what of it is in the cache."""
    from orchestrator import imaging

    entries = imaging.list_declared()
    if as_json:
        output.show_json([entry.to_json() for entry in entries])
        return
    rows: list[list[str | Text]] = [
        [
            entry.name,
            entry.kind,
            str(entry.packages),
            output.styled("ok") if entry.path else "not built",
            output.size(entry.size_bytes) if entry.path else "",
            entry.purpose,
        ]
        for entry in entries
    ]
    columns = ["name", "kind", "packages>", "cached", "size>", "purpose"]
    output.out.print(output.table("", columns, rows))


@app.command(epilog=example("image lock guest"))
def lock(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="One of images/; without it, all of them.")
    ] = "",
    archive: Archive = "",
) -> None:
    """Renew lock files: the newest packages the archive offers, with their hashes."""
    from orchestrator import imaging

    with reporter(output.err, silent=output.is_quiet()):
        for change in imaging.lock(name, archive=archive):
            output.out.print(change)
