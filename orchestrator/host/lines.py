# SPDX-License-Identifier: Apache-2.0
"""From addresses of our own programs to the source they were compiled from, inlined functions
included.

The programs are compiled once more, as they are measured but with what debuggers read: that changes
no instruction, so an address means the same in both.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator import process
from orchestrator.errors import InfrastructureError
from orchestrator.host.cbuild import BUILD_DIRECTORY
from orchestrator.host.trees import Bind, Tree

TIMEOUT_S = 600.0
_PLACE = Path("/programs")
_ADDRESS = re.compile(r"0x[0-9a-f]+")

type Chain = tuple[str, ...]
"""What an instruction comes from, as `net/tcp_ack.c:tcp_ack` with paths below dataplane/: the
innermost inlined function first. What is not ours, such as DPDK's headers, is left out."""


def chains(tree: Tree, program: Path, addresses: Sequence[int]) -> Mapping[int, Chain]:
    """For each address of a program that was compiled with lines, where its instruction is from.

    tree: the build tree. Raises CommandError, and InfrastructureError when the answer is not one.
    """
    wanted = sorted(set(addresses))
    if not wanted:
        return {}
    argv = ["addr2line", "--addresses", "--functions", "--inlines"]
    command = tree.command(
        [*argv, f"--exe={_PLACE / program.name}"],
        binds=[Bind(source=program.parent, target=_PLACE)],
    )
    text = "".join(f"{address:#x}\n" for address in wanted)
    done = process.run(command, timeout=TIMEOUT_S, input_text=text)
    found = dict(read_chains(done.stdout))
    if list(found) != wanted:
        raise InfrastructureError(
            f"addr2line answered for {len(found)} of {len(wanted)} addresses of {program.name}",
            details=done.stdout[-2000:],
        )
    return found


def read_chains(text: str) -> Iterator[tuple[int, Chain]]:
    """addr2line's answer: a line with the address, then two for each function, innermost first: its
    name, and where it is."""
    lines = text.splitlines()
    begins = [at for at, line in enumerate(lines) if _ADDRESS.fullmatch(line)]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        pairs = zip(lines[begin + 1 : end : 2], lines[begin + 2 : end : 2], strict=True)
        named = ((_ours(where), function) for function, where in pairs)
        chain = tuple(f"{file}:{function}" for file, function in named if file)
        yield int(lines[begin], 16), chain


def _ours(where: str) -> str:
    """The path of a source file below dataplane/; empty for others. The compiler names ours from
    the directory that it works in."""
    path = where.rpartition(":")[0].removeprefix(f"{BUILD_DIRECTORY}/").removeprefix("./")
    return "" if path.startswith(("/", "?")) else path
