# SPDX-License-Identifier: Apache-2.0
"""Where values came from: a file with a line and a column for every key, or a --set argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

type Loc = tuple[str | int, ...]

_ARGUMENT = "--set "


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place: a file with line and column from 1, or `--set key=value` with neither."""

    origin: str
    line: int = 0
    column: int = 0

    @classmethod
    def of_argument(cls, argument: str) -> "Mark":
        """The place of what `--set argument` gave."""
        return cls(origin=f"{_ARGUMENT}{argument}")

    @property
    def is_argument(self) -> bool:
        return not self.line and self.origin.startswith(_ARGUMENT)

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.origin, self.line, self.column) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An experiment's text, its overrides, and the place of each key and value.

    name: the path as shown to the user.
    files: SHA-256 of each file that the experiment names, by its path as written there.
    """

    path: Path = Path()
    name: str = ""
    sha256: str = ""
    overrides: tuple[str, ...] = ()
    keys: Mapping[Loc, Mark] = field(default_factory=dict, repr=False)
    values: Mapping[Loc, Mark] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict)

    def key_mark(self, loc: Loc) -> Mark:
        """The place of a key, or that of the nearest one around it that stands in the file."""
        for length in range(len(loc), 0, -1):
            # An entry of a list has no key: its value is its place.
            found = self.keys.get(loc[:length], self.values.get(loc[:length]))
            if found is not None:
                return found
        return Mark(origin=self.name)

    def value_mark(self, loc: Loc) -> Mark:
        """The place of a value, or of the nearest key around it."""
        found = self.values.get(loc) if loc else None
        return found if found is not None else self.key_mark(loc)
