# SPDX-License-Identifier: Apache-2.0
"""How much of a static library its tests have executed.

    coverage.py OBJECTS SOURCES LINES_PERCENT

OBJECTS: the directory of the library's objects in a build with -Db_coverage=true, after the tests.
SOURCES: the folder whose files count, headers too. Prints a table by file, lines and branches, the
lines that no test reaches, and fails when fewer than LINES_PERCENT of the lines were executed.
Branches of assertions count, so that no test can reach all.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

Lines = dict[str, dict[int, int]]
Branches = dict[str, dict[tuple[int, int], int]]


def read(objects: Path, sources: Path) -> tuple[Lines, Branches]:
    """How often each line and each branch was executed, by file; the sum over all objects."""
    lines: Lines = defaultdict(lambda: defaultdict(int))
    branches: Branches = defaultdict(lambda: defaultdict(int))
    for data in sorted(objects.glob("*.gcda")):
        words = ["gcov", "--json-format", "--branch-probabilities", "--stdout", data.name]
        done = subprocess.run(words, cwd=objects, stdout=subprocess.PIPE, text=True, check=True)
        for file in json.loads(done.stdout)["files"]:
            path = Path(file["file"])
            if path.parent.name != sources.name or not (sources / path.name).exists():
                continue
            for line in file["lines"]:
                number = line["line_number"]
                lines[path.name][number] += line["count"]
                for index, branch in enumerate(line["branches"]):
                    branches[path.name][number, index] += branch["count"]
    return lines, branches


def share(counts: dict[int, int] | dict[tuple[int, int], int]) -> str:
    reached = sum(count > 0 for count in counts.values())
    return f"{reached:5}/{len(counts):<5} {100 * reached / max(1, len(counts)):5.1f} %"


def spans(numbers: list[int]) -> str:
    """7 8 9 12 as 7-9, 12."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def main() -> int:
    objects, sources, least = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    lines, branches = read(objects, sources)
    print(f"{'file':24} {'lines':>19} {'branches':>19}  never executed")
    for name in sorted(lines):
        missed = sorted(number for number, count in lines[name].items() if count == 0)
        print(f"{name:24} {share(lines[name])} {share(branches[name])}  {spans(missed)}")
    all_lines = {(name, at): count for name in lines for at, count in lines[name].items()}
    taken = {(name, at): count for name in branches for at, count in branches[name].items()}
    reached = sum(count > 0 for count in all_lines.values())
    percent = 100 * reached / len(all_lines) if all_lines else 0.0
    went = sum(count > 0 for count in taken.values())
    print(f"lines    {reached} of {len(all_lines)}: {percent:.1f} % (at least {least:g} %)")
    print(f"branches {went} of {len(taken)}: {100 * went / max(1, len(taken)):.1f} %")
    return 0 if percent >= least else 1


if __name__ == "__main__":
    sys.exit(main())
