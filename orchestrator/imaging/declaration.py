# SPDX-License-Identifier: Apache-2.0
"""The part of images/<name>.toml that makes a tree into an image: its tables [image…].

The rest, packages and what is left out of them, is read by images/tree.sh.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError, UsageError

NAME = re.compile(r"[a-z][a-z0-9-]*")
MODULE_SETS = ("base", "virtio", "pmem")
KEYS = ("slack_mib", "initrd", "variables")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """modules: kernel modules of the initrd by set. variables: those of playbooks/site.yml."""

    name: str
    slack_mib: int
    modules: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, Any]


def read_declaration(images: Path, name: str) -> Declaration:
    """Read images/<name>.toml. Raises UsageError when there is no such image, SpecError when the
    file says what it may not."""
    file = images / f"{name}.toml"
    if not NAME.fullmatch(name) or not file.is_file():
        raise UsageError(f"there is no image {name}", hint=_known(images))
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(str(error), file=str(file)) from error
    if "image" not in document:
        raise UsageError(f"{name} is a tree, not an image", hint=_known(images))
    table = document["image"]
    _check_keys(file, "image", table, KEYS)
    modules = table.get("initrd", {})
    _check_keys(file, "image.initrd", modules, MODULE_SETS)
    for key in MODULE_SETS:
        value = modules.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SpecError(
                f"image.initrd.{key} must be a list of module names", file=str(file), key=key
            )
    slack = table.get("slack_mib", 0)
    if not isinstance(slack, int) or slack < 0:
        raise SpecError("image.slack_mib must be 0 or more", file=str(file), key="slack_mib")
    return Declaration(
        name=name,
        slack_mib=slack,
        modules={key: tuple(modules[key]) for key in MODULE_SETS},
        variables=table.get("variables", {}),
    )


def declared_images(images: Path) -> list[str]:
    """The names of all images that are declared."""
    names = []
    for file in sorted(images.glob("*.toml")):
        with file.open("rb") as stream:
            if "image" in tomllib.load(stream):
                names.append(file.stem)
    return names


def _known(images: Path) -> str:
    return f"declared in {images}: {', '.join(declared_images(images)) or 'none'}"


def _check_keys(file: Path, table: str, found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in found:
        if key not in known:
            raise SpecError(
                f"[{table}] has no key {key!r}",
                file=str(file),
                key=key,
                hint=f"known keys: {', '.join(known)}",
            )
