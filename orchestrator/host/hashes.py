# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of files, and the list of them that `sha256sum --check` reads."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import UsageError

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def format_sums(sums: Mapping[str, str]) -> str:
    """The text of a list: a line for each file, by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def parse_sums(text: str, where: str) -> dict[str, str]:
    """Digests by name. Raises UsageError for a line that is none."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"{where}:{number}: not a line of sha256sum: {line}")
        found[match[2]] = match[1]
    return found
