# SPDX-License-Identifier: Apache-2.0
"""`ringbed schema`: the experiment file for editors and readers."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.options import check_writable, example


def schema(
    docs: Annotated[
        bool, typer.Option("--docs", help="The reference as Markdown (docs/experiments.md).")
    ] = False,
    into: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file.")
    ] = None,
) -> None:
    """Print the JSON Schema of experiment files."""
    from orchestrator import spec

    if into is not None:
        check_writable("--output", into)
    if docs:
        text = spec.render_reference()
        if into is None:
            print(text, end="")
        else:
            into.write_text(text, encoding="utf-8")
    elif into is None:
        output.show_json(spec.json_schema())
    else:
        import json

        into.write_text(json.dumps(spec.json_schema(), indent=2) + "\n", encoding="utf-8")


def register(app: typer.Typer) -> None:
    app.command(epilog=example("schema > experiment.schema.json"))(schema)
