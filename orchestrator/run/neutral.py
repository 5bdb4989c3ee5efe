# SPDX-License-Identifier: Apache-2.0
"""Changes of the C programs and their surroundings that mean nothing, and one that does.

A verdict must not depend on what the first kind does, and must see the second kind. Each change is
made in a copy of dataplane/, or is an option of the server; the checkout is not touched.

    padding      NOPs between functions, never executed: all code lies elsewhere
    order        the objects of each library in another order: functions and data change places
    environment  a larger environment of the server: its stack lies elsewhere
"""

import random
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.errors import InfrastructureError

# rb-echo executes two instructions for each round.
INSTRUCTIONS_A_ROUND = 2

_ARGUMENTS = "add_project_arguments("
_OBJECTS = re.compile(r"'\w+\.c'(?:,\s*'\w+\.c')+")
_SERVED = "\tconnection->message %= echo->message_bytes;\n"
_WORK = """\
	for (uint64_t left = connection->message / echo->message_bytes; left > 0; left--) {{
		uint64_t rounds = {rounds};
		__asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds) : : "cc");
	}}
"""


class Kind(StrEnum):
    PADDING = "padding"
    ORDER = "order"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One neutral change. number: from 1; which of its kind."""

    kind: Kind
    number: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.number}"

    @property
    def environment_bytes(self) -> int:
        """A prime distance, so that the stack meets lines and pages at ever other places."""
        return 397 * self.number if self.kind is Kind.ENVIRONMENT else 0


def changes(count: int) -> list[Change]:
    """So many different ones, the kinds in turn."""
    kinds = list(Kind)
    return [
        Change(kind=kinds[place % len(kinds)], number=1 + place // len(kinds))
        for place in range(count)
    ]


def apply(change: Change, directory: Path) -> None:
    """Make the change in a copy of dataplane/; nothing, where it is one of the server's options."""
    match change.kind:
        case Kind.PADDING:
            padding = f"'-fpatchable-function-entry={change.number},{change.number}', "
            _edit(directory / "meson.build", _ARGUMENTS, f"{_ARGUMENTS}{padding}")
        case Kind.ORDER:
            _shuffle(directory, random.Random(change.number))
        case Kind.ENVIRONMENT:
            pass


def add_work(directory: Path, rounds: int) -> None:
    """Let rb-echo do so many rounds of work more for each request."""
    _edit(directory / "apps" / "echo.c", _SERVED, _WORK.format(rounds=rounds) + _SERVED)


def _shuffle(directory: Path, order: random.Random) -> None:
    for path in sorted(directory.glob("*/meson.build")):
        if path.parent.name in ("tests", "fuzz"):
            continue
        text = path.read_text(encoding="utf-8")
        path.write_text(_OBJECTS.sub(lambda found: _mixed(found[0], order), text), encoding="utf-8")


def _mixed(listed: str, order: random.Random) -> str:
    names = re.findall(r"'\w+\.c'", listed)
    order.shuffle(names)
    return ", ".join(names)


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(before) < 1:
        raise InfrastructureError(
            f"{path.name} has no {before.strip()!r}, where a change would go",
            hint="orchestrator/run/neutral.py must follow the sources",
        )
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
