# SPDX-License-Identifier: Apache-2.0
"""Faults of an experiment: collected, then raised together as one SpecError."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import SpecError
from orchestrator.spec.source import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong. key: dotted, as for --set. hint: what to write instead."""

    mark: Mark
    key: str
    message: str
    hint: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        where = str(self.mark)
        return f"{where}: {key}{self.message}{hint}" if where else f"{key}{self.message}{hint}"


def raise_faults(faults: Iterable[Fault], name: str) -> None:
    """Raise a SpecError when any fault is an error; warnings are left to the caller.

    One error is the message itself; of several, the message counts them, `details` has one a line
    in the order of the file, and place and key are those of the first.
    """
    errors = sorted(
        dict.fromkeys(fault for fault in faults if fault.level == "error"),
        key=lambda fault: (fault.mark.origin, fault.mark.line, fault.mark.column),
    )
    if not errors:
        return
    first = errors[0]
    if len(errors) == 1:
        raise SpecError(
            f"{first.key}: {first.message}" if first.key else first.message,
            file=first.mark.origin,
            line=first.mark.line,
            column=first.mark.column,
            key=first.key,
            hint=first.hint,
        )
    error = SpecError(
        f"{name} has {len(errors)} faults",
        key=first.key,
        details="\n".join(str(fault) for fault in errors),
        hint="./ringbed schema --docs describes every key",
    )
    error.file, error.line, error.column = first.mark.origin, first.mark.line, first.mark.column
    raise error


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant: a near spelling, or one that holds it as a part."""
    words = list(known)
    lowered = {candidate.lower(): candidate for candidate in reversed(words)}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    if found:
        return lowered[found[0]]
    parts = [name for name in words if word.lower() in re.split(r"[-_.]", name.lower())]
    return min(parts, key=len) if parts else None


def likeness(word: str, other: str) -> float:
    """How near two spellings are, from 0 to 1."""
    return difflib.SequenceMatcher(None, word.lower(), other.lower()).ratio()


def did_you_mean(word: str, known: Sequence[str], *, among: str = "") -> str:
    """A hint that names the nearest known word, or with `among` all of them when they are few."""
    found = nearest(word, known)
    if found is not None:
        return f"did you mean {found}?"
    if among and known and len(known) <= 16:
        return f"{among}: {', '.join(known)}"
    return ""


def entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
