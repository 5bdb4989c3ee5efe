# SPDX-License-Identifier: Apache-2.0
"""`ringbed image`: guest images and the trees everything is built from."""

from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.text import Text

from orchestrator import paths
from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import Archive, Json, Locked, Quiet, Verbose, example
from orchestrator.cli.progress import reporter
from orchestrator.cli.space import disk_usage

app = typer.Typer(no_args_is_help=True, help="Guest images, and the trees they are built from.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As declared in images/NAME.toml.")]


@app.command(epilog=example("image build guest --locked"))
def build(
    name: Name = "guest",
    locked: Locked = False,
    archive: Archive = "",
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Build a guest image or a tree, unless it is in the cache."""
    from orchestrator.host import trees
    from orchestrator.imaging import declared_images, ensure_image

    with caches_in_use(), reporter(output.err, silent=output.is_quiet()):
        if name in declared_images(paths.project("images")):
            path = ensure_image(name, locked=locked, archive=archive).path
        else:
            path = trees.ensure_tree(name, locked=locked, archive=archive).path
    output.out.print(str(path), soft_wrap=True)


@app.command("list", epilog=example("image list"))
def list_(as_json: Json = False) -> None:
    """List what is declared in images/, and what of it is in the cache.

    A changed declaration or lock file makes another copy. Older ones stay, for other checkouts.
    """
    from orchestrator.host import trees

    rows = [_copies(name) for name in trees.declared_trees()]
    if as_json:
        output.show_json([asdict(row) for row in rows])
        return
    cells: list[list[str | Text]] = [
        [
            row.name,
            row.kind,
            str(row.packages),
            output.size(row.current_bytes) if row.current else "not built",
            f"{row.older}, {output.size(row.bytes - row.current_bytes)}" if row.older else "–",
        ]
        for row in rows
    ]
    output.show_table("", ["name", "kind", "packages>", "in use>", "older copies>"], cells)
    if any(row.older for row in rows):
        output.out.print("\n./ringbed clean --caches removes all copies that can be built again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What the cache has of a declaration. current: the copy that this checkout uses, empty when it
    is not built. bytes: of all copies; a file that several have counts once."""

    name: str
    kind: str
    packages: int
    current: str
    current_bytes: int
    cached: list[str]
    bytes: int

    @property
    def older(self) -> int:
        return len(self.cached) - bool(self.current)


def _copies(name: str) -> Copies:
    from orchestrator.host import trees
    from orchestrator.imaging import declared_images
    from orchestrator.run.supplies import image_path

    is_image = name in declared_images(paths.project("images"))
    current = image_path(name) if is_image else trees.tree_path(name)
    cached = sorted(path for path in current.parent.glob(f"{name}-*") if path.is_dir())
    return Copies(
        name=name,
        kind="image" if is_image else "tree",
        packages=len(trees.read_lock(paths.project("images", f"{name}.lock"))),
        current=str(current) if current in cached else "",
        current_bytes=disk_usage(current) if current in cached else 0,
        cached=[str(path) for path in cached],
        bytes=disk_usage(*cached),
    )


@app.command(epilog=example("image lock guest"))
def lock(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="One of images/; without it, all of them.")
    ] = "",
    archive: Archive = "",
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Renew lock files: the newest packages the archive offers, with their hashes."""
    from orchestrator.host import trees

    with caches_in_use(), reporter(output.err, silent=output.is_quiet()):
        for wanted in [name] if name else trees.declared_trees():
            path = paths.project("images", f"{wanted}.lock")
            before = {p.name: p.version for p in trees.read_lock(path)} if path.exists() else {}
            trees.renew_lock(wanted, archive=archive)
            after = {p.name: p.version for p in trees.read_lock(path)}
            for line in _changes(before, after):
                output.out.print(f"{wanted}: {line}")


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    if before == after:
        return ["nothing has changed"]
    return [
        f"{package} {before.get(package, '(new)')} -> {after.get(package, '(gone)')}"
        for package in sorted({*before, *after})
        if before.get(package) != after.get(package)
    ]
