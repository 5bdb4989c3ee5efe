# SPDX-License-Identifier: Apache-2.0
"""ro-crate-metadata.json: what a bundle holds and how it came about, as RO-Crate 1.1 asks for it
(https://w3id.org/ro/crate/1.1): one flat graph of entities that refer to each other by @id."""

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from orchestrator.report.bundle import layout
from orchestrator.report.bundle.layout import Entry

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PROFILE = "https://w3id.org/ro/crate/1.1"
LICENCE = "https://spdx.org/licenses/Apache-2.0"
_TYPES = {
    ".deb": "application/vnd.debian.binary-package",
    ".whl": "application/zip",
    ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
    ".yml": "application/yaml",
    ".md": "text/markdown",
    ".log": "text/plain",
    ".lock": "text/plain",
    ".toml": "application/toml",
}

type Entity = dict[str, Any]


def metadata(
    manifest: Mapping[str, Any], entries: Sequence[Entry], sizes: Mapping[str, int]
) -> Entity:
    """The document. entries: every file but the document itself; sizes: of them, by name."""
    tops = [entry for entry in entries if not entry.folder]
    folders = list(dict.fromkeys(entry.folder for entry in entries if entry.folder))
    graph = [
        _descriptor(),
        _root(manifest, [*(_id(one.name) for one in tops), *(f"{name}/" for name in folders)]),
        *(_folder(name, entries) for name in folders),
        *(_file(entry, sizes[entry.name]) for entry in entries),
        *_context(manifest),
    ]
    return {"@context": CONTEXT, "@graph": graph}


def _descriptor() -> Entity:
    return {
        "@id": layout.METADATA,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": PROFILE},
    }


def _root(manifest: Mapping[str, Any], parts: Sequence[str]) -> Entity:
    title = manifest.get("title") or manifest["name"]
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{title} ({manifest['run']})",
        "description": f"A run of the ringbed experiment {manifest['name']} on the "
        f"{manifest['clock']} clock, with everything that is needed to repeat it.",
        "datePublished": str(manifest["ended"])[:10],
        "license": {"@id": LICENCE},
        "hasPart": [{"@id": part} for part in parts],
        "mentions": [{"@id": "#run"}],
    }


def _folder(name: str, entries: Sequence[Entry]) -> Entity:
    inside = [{"@id": _id(entry.name)} for entry in entries if entry.folder == name]
    return {
        "@id": f"{name}/",
        "@type": "Dataset",
        "name": name,
        "description": layout.FOLDERS[name],
        "hasPart": inside,
    }


def _file(entry: Entry, size: int) -> Entity:
    found: Entity = {
        "@id": _id(entry.name),
        "@type": "File",
        "name": entry.title or entry.name.rpartition("/")[2],
        "contentSize": str(size),
    }
    suffix = "." + entry.name.rpartition(".")[2]
    kind = _TYPES.get(suffix) or mimetypes.types_map.get(suffix)
    return {**found, "encodingFormat": kind} if kind else found


def _context(manifest: Mapping[str, Any]) -> Iterator[Entity]:
    """What is no part of the bundle: the licence, the program, and the act of running it."""
    source = manifest["ringbed"]
    yield {
        "@id": LICENCE,
        "@type": "CreativeWork",
        "name": "Apache License 2.0",
        "description": "Of ringbed's source. Packages have licences of their own.",
    }
    yield {
        "@id": "#ringbed",
        "@type": "SoftwareApplication",
        "name": "ringbed",
        "version": source["version"],
        "softwareVersion": source["commit"],
    }
    yield {
        "@id": "#run",
        "@type": "CreateAction",
        "name": manifest["command"],
        "startTime": manifest["started"],
        "endTime": manifest["ended"],
        "instrument": {"@id": "#ringbed"},
        "object": [{"@id": f"{layout.SOURCE}/"}, {"@id": f"{layout.RUN}/experiment.yml"}],
        "result": {"@id": f"{layout.RUN}/"},
    }


def _id(name: str) -> str:
    return quote(name)
