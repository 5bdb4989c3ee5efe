# SPDX-License-Identifier: Apache-2.0
"""Reading JSON that another program wrote, with nothing taken on trust.

A file may be missing, cut off in the middle (a guest that died while writing) or hold something
else than it should. Each fault becomes one RawError that names the file and the key.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import InfrastructureError


class RawError(InfrastructureError):
    """A raw file cannot be used. The message starts with the file's name."""


class Fields:
    """One JSON object of a file; `where` is the dotted key of the object inside it."""

    def __init__(self, file: str, data: Mapping[str, Any], where: str = "") -> None:
        self.file = file
        self.data = data
        self.where = where

    def error(self, key: str, what: str) -> RawError:
        dotted = f"{self.where}.{key}" if self.where and key else self.where or key
        return RawError(f"{self.file}: {dotted}: {what}" if dotted else f"{self.file}: {what}")

    def has(self, key: str) -> bool:
        return self.data.get(key) is not None

    def get(self, key: str) -> Any:
        if key not in self.data:
            raise self.error(key, "is missing")
        return self.data[key]

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and not self.has(key):
            return default
        value = self.get(key)
        if not isinstance(value, str):
            raise self.error(key, f"is {value!r}, not a text")
        return value

    def boolean(self, key: str) -> bool:
        value = self.get(key)
        if not isinstance(value, bool):
            raise self.error(key, f"is {value!r}, not true or false")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number >= 0; every count and time in the raw files is one."""
        if default is not None and not self.has(key):
            return default
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(key, f"is {value!r}, not a whole number >= 0")
        return value

    def signed(self, key: str) -> int:
        """A whole number of either sign, such as a CPU where -1 says "any"."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, f"is {value!r}, not a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number >= 0."""
        if default is not None and not self.has(key):
            return default
        value = self.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e300:
            raise self.error(key, f"is {value!r}, not a number >= 0")
        return float(value)

    def child(self, key: str) -> "Fields":
        value = self.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "is not an object")
        return Fields(self.file, value, f"{self.where}.{key}" if self.where else key)

    def children(self, key: str) -> list["Fields"]:
        value = self.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "is not a list of objects")
        prefix = f"{self.where}.{key}" if self.where else key
        return [Fields(self.file, item, f"{prefix}[{n}]") for n, item in enumerate(value)]

    def counts(self, key: str) -> dict[str, int]:
        """An object of whole numbers."""
        child = self.child(key)
        return {name: child.integer(name) for name in child.data}

    def texts(self, key: str) -> dict[str, str]:
        """An object of texts or numbers, all as text; empty when the key is missing."""
        if not self.has(key):
            return {}
        return {name: str(value) for name, value in self.child(key).data.items()}

    def schema(self, expected: int) -> None:
        found = self.integer("schema")
        if found != expected:
            raise self.error("schema", f"is version {found}; this ringbed reads {expected}")


def load(path: Path) -> Fields:
    """Read a JSON object from a file. Raises RawError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RawError(f"{path.name}: is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RawError(f"{path.name}: cannot be read: {error}") from error
    return parse(path.name, text)


def parse(name: str, text: str) -> Fields:
    """A JSON object from its text; `name` is of the file it stands in. Raises RawError."""
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        how = "is empty" if not text.strip() else f"is damaged or cut off: {error}"
        raise RawError(f"{name}: {how}") from error
    if not isinstance(data, dict):
        raise RawError(f"{name}: holds no JSON object")
    return Fields(name, data)
