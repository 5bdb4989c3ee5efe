# SPDX-License-Identifier: Apache-2.0
"""Sums up a callgrind file: the instructions of bench_net's own functions, and those of all others.

    counted.py FILE

The program's functions are known by their names (bench_...); it is compiled apart from the library,
so that nothing of one is inlined into the other. Calls are not counted twice: the line after
"calls=" is the callee's cost, which the callee's own lines say.
"""

import re
import sys


def sums(lines: list[str]) -> tuple[int, int]:
    """The program's own, and the library's."""
    names: dict[str, str] = {}
    own = other = 0
    function, skip = "", False
    for line in lines:
        named = re.match(r"c?fn=\((\d+)\)(?: (.+))?", line)
        if named:
            name = names.setdefault(named[1], named[2] or "")
            if line.startswith("fn="):
                function = name
        elif line.startswith("calls="):
            skip = True
        elif re.match(r"[+*\-\d]", line):
            cost = int(line.split()[-1])
            if skip:
                skip = False
            elif function.startswith("bench_"):
                own += cost
            else:
                other += cost
    return own, other


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        own, other = sums(file.read().splitlines())
    print(f"own {own}\nlibrary {other}")


if __name__ == "__main__":
    main()
