# SPDX-License-Identifier: Apache-2.0
"""Budgets of size, and the licence line of every source file."""

import ast
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.cli import sources
from orchestrator.host import plugin

PYTHON_FUNCTION, PYTHON_FILE = 60, 600
C_FUNCTION, C_FILE = 80, 800

FILES = sources.all_files()

# What has no licence line: prose, data, and files whose format has no comments or which users copy.
UNMARKED = [
    "*.md",
    "*.png",
    "*.lock",
    "*/py.typed",
    ".gitignore",
    "LICENSE",
    "baselines/*.json",
    "dataplane/fuzz/seeds/*",
    "experiments/*",
    "images/guest/fstab",
    "images/guest/inittab",
    "playbooks/ansible.cfg",
    "playbooks/roles/ssh/files/sshd_config",
    "requirements-dev.in",
]
LICENCES = {
    "playbooks/plugins/*": "GPL-3.0-or-later",
    "accounting/*": "GPL-2.0-or-later",
    "*": "Apache-2.0",
}


def text(path: Path) -> str:
    return paths.project(str(path)).read_text(encoding="utf-8")


def python_functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of every function, from `def` to its end."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def c_functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of every function, from the line that names it to its end.

    clang-format keeps the braces of functions, and no others, alone at the start of a line.
    """
    name, start, signature = "", 0, 0
    for number, line in enumerate(source.splitlines(), 1):
        if line == "{":
            start = signature
        elif line == "}":
            assert start, f"line {number}: a function ends that did not begin"
            yield name, number - start + 1
            start = 0
        elif not start and (match := re.match(r"\w.*?(\w+)\(", line)):
            name, signature = match[1], number
    assert not start, f"{name} does not end"


def too_long(
    files: list[Path],
    functions: Callable[[str], Iterator[tuple[str, int]]],
    *,
    function: int,
    file: int,
) -> dict[str, int]:
    """Files and functions over their budgets, and by how many lines."""
    found = {}
    for path in files:
        source = text(path)
        found[str(path)] = len(source.splitlines()) - file
        found.update((f"{path}: {name}()", n - function) for name, n in functions(source))
    return {name: over for name, over in found.items() if over > 0}


def test_python_is_in_small_pieces() -> None:
    files = sources.python_files(FILES)
    assert too_long(files, python_functions, function=PYTHON_FUNCTION, file=PYTHON_FILE) == {}


def test_c_is_in_small_pieces() -> None:
    files = sources.c_files(FILES)
    assert too_long(files, c_functions, function=C_FUNCTION, file=C_FILE) == {}


def test_functions_are_measured() -> None:
    python = "class A:\n    @x\n    async def f(self):\n        def g(): ...\n\n        return 1\n"
    assert dict(python_functions(python)) == {"f": 4, "g": 1}
    c = (
        "struct s {\n\tint x;\n};\nint a(int x);\nMACRO(1);\n"
        "static int first(int x,\n\t\t int y)\n{\n\tif (x) {\n\t}\n}\n"
        "struct s *second(void)\n{\n}\n"
    )
    assert list(c_functions(c)) == [("first", 6), ("second", 3)]
    with pytest.raises(AssertionError, match="third does not end"):
        list(c_functions("int third(void)\n{\n"))


def has_licence(path: Path) -> bool:
    licence = next(name for at, name in LICENCES.items() if fnmatchcase(str(path), at))
    head = text(path).splitlines()[:3]
    return any(f"SPDX-License-Identifier: {licence}" in line for line in head)


def test_every_source_file_names_its_licence() -> None:
    marked = [path for path in FILES if not any(fnmatchcase(str(path), at) for at in UNMARKED)]
    assert [path for path in marked if not has_licence(path)] == []


def test_no_exception_is_left_over() -> None:
    for pattern in [*UNMARKED, *LICENCES]:
        assert any(fnmatchcase(str(path), pattern) for path in FILES), pattern


def test_every_c_file_is_built_and_every_fuzz_target_has_seeds() -> None:
    builds = "".join(text(path) for path in FILES if path.name == "meson.build")
    builds += "".join(f"'{name}'" for name in plugin.PARTS)
    builds += "'later.c'"  # compiled by the test beside it
    # Each is compiled by itself: cchecks.accounting_command.
    builds += "".join(f"'{path.name}'" for path in FILES if path.match("accounting/test_*.c"))
    for path in sources.c_files(FILES):
        words = {path.stem, re.sub(r"^(test|fuzz)_", "", path.stem), path.name}
        quoted = any(f"'{word}'" in builds for word in words)
        assert quoted or path.suffix == ".h", f"no meson.build names {path}"
    for path in FILES:
        if path.parent.name == "fuzz" and path.match("fuzz_*.c"):
            seeds = path.parent / "seeds" / path.stem.removeprefix("fuzz_")
            assert any(seeds in file.parents for file in FILES), f"no seeds: {seeds}"
