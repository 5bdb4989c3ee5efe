# SPDX-License-Identifier: Apache-2.0
"""What the documents point to is there: links, anchors, and files that are mentioned by path."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.cli import sources

DOCUMENTS = [path for path in sources.all_files() if path.suffix == ".md"]
# Those that git knows: what a user's runs/ holds says nothing about the documents.
FOLDERS = {paths.project(str(folder)) for file in sources.all_files() for folder in file.parents}
# From where prose names files: the project, the document's own folder, and the two bodies of code.
BASES = ("", "orchestrator", "dataplane")
SOURCE_SUFFIXES = {".py", ".c", ".h", ".sh", ".toml", ".lock", ".j2", ".md"}

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
_TARGET = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


def prose(source: str) -> str:
    return _FENCED.sub("", source)


def links(source: str) -> Iterator[tuple[str, str]]:
    """File and anchor of every link that does not lead out of the repository."""
    for target in _LINK.findall(_CODE.sub("", prose(source))):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors(source: str) -> set[str]:
    """The anchors of a document, named as GitHub does."""
    text = prose(source)
    found = set(_TARGET.findall(text))
    for heading in _HEADING.findall(text):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        again = sum(1 for known in found if re.fullmatch(re.escape(name) + r"(-\d+)?", known))
        found.add(f"{name}-{again}" if again else name)
    return found


def mentions(source: str) -> Iterator[str]:
    """Words set as code that are relative paths; `<name>` in them stands for any name."""
    for word in _CODE.findall(prose(source)):
        if re.fullmatch(r"[\w.<>*-]+(/[\w.<>*-]+)*/?", word) and "/" in word:
            yield re.sub(r"<\w+>", "*", word).rstrip("/").removeprefix("./")


def is_missing(mention: str, bases: list[Path], folders: set[Path]) -> bool:
    """Whether a path is of this repository (by its first folder, which is one of `folders`, or by
    its suffix) and not there."""
    first = mention.split("/")[0]
    ours = Path(mention).suffix in SOURCE_SUFFIXES or any(b / first in folders for b in bases)
    return ours and not any(True for base in bases for _ in base.glob(mention))


def read(path: Path) -> str:
    return paths.project(str(path)).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    folder = paths.project(str(path.parent))
    for file, anchor in links(read(path)):
        target = folder / file if file else paths.project(str(path))
        assert target.exists(), f"{path} links to {file}"
        if anchor:
            known = anchors(target.read_text(encoding="utf-8"))
            assert anchor in known, f"{path} links to #{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_files_that_are_mentioned_exist(path: Path) -> None:
    bases = [*(paths.project(base) for base in BASES), paths.project(str(path.parent))]
    assert [word for word in mentions(read(path)) if is_missing(word, bases, FOLDERS)] == []


def test_every_document_is_linked_from_another() -> None:
    linked = {
        (paths.project(str(path.parent)) / file).resolve()
        for path in DOCUMENTS
        for file, _ in links(read(path))
    }
    for path in DOCUMENTS:
        if path.parent == Path("docs"):
            assert paths.project(str(path)).resolve() in linked, f"nothing links to {path}"


def test_documents_are_read_as_github_does(tmp_path: Path) -> None:
    source = (
        "# A `b`: c, and d\n## End\n## End\n[x](y.md#end-1) [z](https://a.b/c) `[no](link)`\n"
        "```\n# no heading\n`no/path.c`\n```\n"
        "`gone/a.c` and `v/state` and `here/<name>.x` and `/etc/a`\n"
    )
    assert anchors(source) == {"a-b-c-and-d", "end", "end-1"}
    assert list(links(source)) == [("y.md", "end-1")]
    (tmp_path / "v").mkdir()
    folders = {tmp_path / "here"}
    assert list(mentions(source)) == ["gone/a.c", "v/state", "here/*.x"]
    assert [word for word in mentions(source) if is_missing(word, [tmp_path], folders)] == [
        "gone/a.c",
        "here/*.x",
    ]
