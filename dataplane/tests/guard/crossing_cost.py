# SPDX-License-Identifier: Apache-2.0
"""How many instructions a crossing of the guard `none` takes: into the application and out of it.

Both ways are straight lines, so that their instructions can be counted where they stand.
usage: crossing_cost.py PROGRAM MOST
"""

import re
import subprocess
import sys


def instructions(program: str, function: str) -> list[str]:
    """The function's instructions up to its return."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    found = re.findall(r"^ +[0-9a-f]+:\t(\S+)", listing, re.MULTILINE)
    if "ret" not in found:
        sys.exit(f"{program} has no {function}() that returns")
    return found[: found.index("ret") + 1]


def main() -> None:
    program, most = sys.argv[1], int(sys.argv[2])
    total = 0
    for function in ("rb_none_enter", "rb_none_gate"):
        found = instructions(program, function)
        wrong = [
            name
            for name in found
            if name.startswith(("j", "call", "syscall", "lock", "xchg", "rep"))
        ]
        if wrong:
            sys.exit(f"{function}() is not a straight line of cheap instructions: {wrong}")
        print(f"{function}: {len(found)} instructions")
        total += len(found)
    print(f"in and out: {total}, at most {most}")
    sys.exit(total > most)


main()
