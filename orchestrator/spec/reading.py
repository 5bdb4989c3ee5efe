# SPDX-License-Identifier: Apache-2.0
"""YAML text as plain values, with the place of every key and value.

The node tree is walked instead of loading objects, because it still has a mark for every key and
lets all duplicate keys be reported at once.
"""

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from orchestrator.spec.faults import Fault
from orchestrator.spec.source import Loc, Mark

_MERGE_TAG = "tag:yaml.org,2002:merge"
MAX_DEPTH = 40
MAX_NODES = 100_000


@dataclass(slots=True, kw_only=True)
class Document:
    """A text read as far as it could be; `faults` says what could not."""

    data: Any = None
    keys: dict[Loc, Mark] = field(default_factory=dict)
    values: dict[Loc, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def dotted(loc: Loc) -> str:
    """A place in a document as a user writes it: `links.0.delay`."""
    return ".".join(str(part) for part in loc)


def read_yaml(text: str, origin: str) -> Document:
    """Read one document. Errors of syntax and duplicate keys are in its `faults`."""
    reader = _Reader(origin)
    try:
        node = reader.yaml.compose(text)
    except YAMLError as error:
        reader.document.faults.append(_syntax_fault(error, origin))
        return reader.document
    except RecursionError:
        mark = Mark(origin=origin)
        fault = Fault(mark=mark, key="", message="is nested too deeply")
        reader.document.faults.append(fault)
        return reader.document
    if node is not None:
        reader.document.data = reader.value(node, ())
    return reader.document


class _Reader:
    def __init__(self, origin: str) -> None:
        self.yaml = YAML(typ="safe", pure=True)
        self.document = Document()
        self._origin = origin
        self._nodes = 0

    def value(self, node: Node, loc: Loc) -> Any:
        self.document.values.setdefault(loc, self._mark(node))
        self._nodes += 1
        if len(loc) > MAX_DEPTH or self._nodes > MAX_NODES:
            # An alias inside its own anchor has no end, and a few aliases of aliases have 10^9.
            if not any(fault.message == _TOO_LARGE for fault in self.document.faults):
                self._fault(node, loc, _TOO_LARGE)
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, loc)

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                merged.append(value_node)
                continue
            key = self._key(key_node, loc)
            if key is None:
                continue
            here = (*loc, key)
            if key in data:
                first = self.document.keys[here].line
                self._fault(key_node, here, f"the key stands twice, first in line {first}")
                continue
            self.document.keys[here] = self._mark(key_node)
            data[key] = self.value(value_node, here)
        for source in merged:
            self._merge(source, loc, data)
        return data

    def _merge(self, node: Node, loc: Loc, data: dict[str, Any], depth: int = 0) -> None:
        """`<<: *anchor` gives the keys that the mapping does not have itself."""
        if depth > MAX_DEPTH:
            self._fault(node, loc, _TOO_LARGE)
            return
        if isinstance(node, SequenceNode):
            for source in node.value:
                self._merge(source, loc, data, depth + 1)
            return
        if not isinstance(node, MappingNode):
            self._fault(node, loc, "<< merges mappings only")
            return
        for key_node, value_node in node.value:
            key = self._key(key_node, loc)
            if key == "<<":
                self._merge(value_node, loc, data, depth + 1)
            elif key is not None and key not in data:
                here = (*loc, key)
                self.document.keys[here] = self._mark(key_node)
                data[key] = self.value(value_node, here)

    def _key(self, node: Node, loc: Loc) -> str | None:
        if isinstance(node, ScalarNode):
            return str(node.value)
        self._fault(node, loc, "a key must be a plain word")
        return None

    def _scalar(self, node: ScalarNode, loc: Loc) -> Any:
        try:
            return self.yaml.constructor.construct_object(node, deep=True)
        except (YAMLError, ValueError, OverflowError):
            self._fault(node, loc, f"{node.value!r} cannot be read as {node.tag}")
            return None

    def _mark(self, node: Node) -> Mark:
        start = node.start_mark
        return Mark(origin=self._origin, line=start.line + 1, column=start.column + 1)

    def _fault(self, node: Node, loc: Loc, message: str) -> None:
        fault = Fault(mark=self._mark(node), key=dotted(loc), message=message)
        self.document.faults.append(fault)


_TOO_LARGE = "the document is too large or nested too deeply"


def _syntax_fault(error: YAMLError, origin: str) -> Fault:
    if not isinstance(error, MarkedYAMLError):
        message = " ".join(str(error).split())
        return Fault(mark=Mark(origin=origin), key="", message=f"no YAML: {message}")
    at = error.problem_mark or error.context_mark
    mark = Mark(origin=origin)
    if at is not None:
        mark = Mark(origin=origin, line=at.line + 1, column=at.column + 1)
    problem = (error.problem or "").strip()
    context = (error.context or "").strip()
    message = f"no YAML: {problem}" + (f", {context}" if context else "")
    return Fault(mark=mark, key="", message=message, hint=_syntax_hint(problem))


def _syntax_hint(problem: str) -> str:
    if "\\t" in problem or "tab" in problem:
        return "indent with blanks, not with tabs"
    if "mapping values are not allowed" in problem:
        return "put text that holds a colon and a blank into quotes"
    if "expected <block end>" in problem or "could not find expected ':'" in problem:
        return "check the indentation of this line and of the one before"
    return ""
