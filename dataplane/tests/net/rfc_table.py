#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the table of docs/tcp.md: which rule of which RFC is where, and its test.

It is read off net/mechanism.h, whose rows net-mutations runs, and off the places that name them.
"""

import re
from pathlib import Path

NET = Path(__file__).parents[2] / "net"
ROW = re.compile(r'X\((\w+), "(\S+)(?: ([^"]*))?", "(\w+)", "([^"]+)"\)')
NAME = re.compile(r"^\tX\((\w+),", re.MULTILINE)  # of every row, whatever the rest of it looks like
USE = re.compile(r"MECHANISM\((\w+)\)")


def places() -> dict[str, list[str]]:
    """The files that name each mechanism."""
    found: dict[str, list[str]] = {}
    for path in sorted(NET.glob("*.[ch]")):
        if path.name == "mechanism.h":
            continue
        for name in sorted(set(USE.findall(path.read_text(encoding="utf-8")))):
            found.setdefault(name, []).append(path.name)
    return found


def table() -> str:
    """Rows in the order of RFC and section; one for each mechanism, or it is an error."""
    where = places()
    text = (NET / "mechanism.h").read_text(encoding="utf-8")
    rows = ROW.findall(text)
    names = NAME.findall(text)
    if [row[0] for row in rows] != names or set(where) != set(names):
        odd = set(names) ^ ({row[0] for row in rows} & set(where)) | (set(where) - set(names))
        raise SystemExit(f"mechanism.h: no row, or no place in the code: {', '.join(sorted(odd))}")
    lines = ["| RFC | section | rule | file | test |", "|---|---|---|---|---|"]
    for name, rfc, section, program, tests in sorted(rows, key=lambda row: (int(row[1]), row[2])):
        files = ", ".join(f"`{file}`" for file in where[name])
        lines.append(f"| {rfc} | {section} | {name} | {files} | `{program}`: `{tests}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
