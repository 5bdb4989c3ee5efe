# SPDX-License-Identifier: Apache-2.0
"""Changes of a document before it is validated, so that the same rules hold: `--set key=value`, and
what a file says to differ on the virtual clock."""

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.spec import structure
from orchestrator.spec.faults import Fault, entries, likeness, nearest
from orchestrator.spec.model import Clock
from orchestrator.spec.reading import Document, dotted, read_yaml
from orchestrator.spec.source import Loc, Mark

# Below these, the rest of a dotted key is one key: `matrix.workload.connections`.
_WHOLE_REST = {"matrix": 1, "include": 2, "exclude": 2}
VIRTUAL: Final = "virtual"
_NAMED = ("machines", "variants")


def apply_override(document: Document, argument: str) -> None:
    """Apply one argument to the document's data and marks; what is wrong joins its faults."""
    mark = Mark.of_argument(argument)
    key, equals, text = argument.partition("=")
    key = key.strip()
    if not equals or not key:
        _fault(document, mark, "", "is not of the form key=value")
        return
    read = read_yaml(text, mark.origin)
    if read.faults:
        for fault in read.faults:
            _fault(document, mark, key, fault.message, fault.hint)
        return
    _change(document, mark, key, read.data)


def apply_clock(document: Document, clock: Clock, overrides: Sequence[str] = ()) -> None:
    """Choose the clock where the document leaves it open, and on the virtual one make the changes
    of its section `virtual`, except for keys that overrides have set already."""
    data = document.data
    if not isinstance(data, dict):
        return
    if data.get("clock", "auto") == "auto":
        data["clock"] = clock
    changes = data.get(VIRTUAL)
    if not isinstance(changes, dict):
        return
    given = {_split(argument.partition("=")[0].strip()) for argument in overrides}
    for key, value in changes.items():
        mark = document.values.get((VIRTUAL, key), Mark(origin=VIRTUAL))
        if not isinstance(key, str) or key.partition(".")[0] in (VIRTUAL, "clock", "schema"):
            _fault(document, mark, f"{VIRTUAL}.{key}", "cannot differ on the virtual clock")
        elif data["clock"] == VIRTUAL and _split(key) not in given:
            _change(document, mark, key, value)
        elif (problem := _unknown_part(_split(key), data)) is not None:
            _fault(document, mark, f"{VIRTUAL}.{key}", *problem)


def _change(document: Document, mark: Mark, key: str, value: Any) -> None:
    loc = _split(key)
    problem = _unknown_part(loc, document.data)
    if problem is not None:
        _fault(document, mark, key, *problem)
        return
    if not _store(document, loc, value):
        _fault(document, mark, key, "leads through a value that has no keys")
        return
    for old in [old for old in document.values if old[: len(loc)] == loc]:
        document.values.pop(old)
        document.keys.pop(old, None)
    document.keys[loc] = document.values[loc] = mark


def _fault(document: Document, mark: Mark, key: str, message: str, hint: str = "") -> None:
    document.faults.append(Fault(mark=mark, key=key, message=message, hint=hint))


def _split(key: str) -> Loc:
    parts = key.split(".")
    whole = _WHOLE_REST.get(parts[0])
    if whole is not None and len(parts) > whole:
        parts = [*parts[:whole], ".".join(parts[whole:])]
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _unknown_part(loc: Loc, data: Any) -> tuple[str, str] | None:
    """Message and hint about the first part of a key that is neither declared nor in the file."""
    for depth, part in enumerate(loc):
        before = loc[:depth]
        if isinstance(part, int):
            items = data if isinstance(data, list) else []
            if part >= len(items):
                return f"{dotted(before)} has {entries(len(items))}, counted from 0", ""
            data = items[part]
            continue
        known: tuple[str, ...] = structure.known_keys(before)
        if depth == 1 and before[0] in _NAMED:
            known = tuple(data) if isinstance(data, dict) else ()
        elif not known and structure.type_at(loc[: depth + 1]) is not None:
            known = (part,)  # a mapping with free keys, such as options
        if part not in known:
            return "unknown key", _suggest(loc, depth, known)
        data = data.get(part) if isinstance(data, dict) else None
    return None


def _suggest(loc: Loc, depth: int, known: tuple[str, ...]) -> str:
    """The whole key that was probably meant."""
    word = str(loc[depth])
    if depth == 0 and word == "load":
        return "did you mean matrix.load?"
    found = nearest(word, known)
    if depth == 0:
        elsewhere = nearest(word, structure.all_keys())
        homes = [home for home in structure.homes(elsewhere or "") if "*" not in home]
        if elsewhere and homes and likeness(word, elsewhere) > likeness(word, found or ""):
            return f"did you mean {' or '.join(homes)}?"
    if found is not None:
        return f"did you mean {dotted((*loc[:depth], found, *loc[depth + 1 :]))}?"
    return f"keys here: {', '.join(known)}" if known else ""


def _store(document: Document, loc: Loc, value: Any) -> bool:
    if document.data is None:
        document.data = {}
    at = document.data
    for part in loc[:-1]:
        if isinstance(at, dict):
            if at.get(part) is None:
                at[part] = {}
            at = at[part]
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            at = at[part]
        else:
            return False
    last = loc[-1]
    if isinstance(at, dict):
        at[str(last)] = value
        return True
    if isinstance(at, list) and isinstance(last, int) and last < len(at):
        at[last] = value
        return True
    return False
