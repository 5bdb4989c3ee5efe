# SPDX-License-Identifier: Apache-2.0
"""Files that survive a crash: a reader finds the old contents or the new ones, never a part."""

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replace a file; on disk, its name too, when this returns."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    sync(path.parent)


def write_json(path: Path, data: Any) -> None:
    """As write_text; what JSON does not know is written as `str` says it."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def sync(path: Path) -> None:
    """Put a file's contents, or the names that a directory holds, on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Put a directory with all that is in it on disk, the names last."""
    for directory, _, files in root.walk(top_down=False):
        for name in files:
            sync(directory / name)
        sync(directory)
