# SPDX-License-Identifier: Apache-2.0
"""Claims as syntax trees: comparisons over metrics of variants. Parsed here, evaluated elsewhere.

A name takes every dash that a letter or digit follows at once, therefore a minus sign needs a
blank before it. Brackets choose points of the matrix, such as `[load=2000]`; without them the
whole sweep is meant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from orchestrator.spec.fields import NAME_PATTERN

type Operator = Literal["+", "-", "*", "/"]
type Comparator = Literal["<", "<=", ">", ">=", "=="]
type Function = Literal["abs", "min", "max"]

GRAMMAR = """\
comparison = sum (("<" | "<=" | ">" | ">=" | "==") sum)+        several: a < b < c
sum        = product (("+" | "-") product)*
product    = factor (("*" | "/") factor)*
factor     = "-" factor | "(" sum ")" | number ["%"] | function "(" sum ("," sum)* ")" | metric
metric     = VARIANT "." METRIC ["[" KEY "=" VALUE ("," KEY "=" VALUE)* "]"]
function   = "abs" | "min" | "max"
"""

MAX_LENGTH = 1000
MAX_DEPTH = 50

_NAME = NAME_PATTERN.removeprefix("^").removesuffix("$")
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?)
      | (?P<metric>(?P<variant>{_NAME})\.(?P<name>[a-z][a-z0-9_]*)(?:\[(?P<where>[^\]]*)\])?)
      | (?P<function>[a-z]+)(?=\s*\()
      | (?P<operator><=|>=|==|[-+*/()<>,])
    )""",
    re.VERBOSE,
)


class ClaimError(ValueError):
    """The text is no claim. position: of the character at fault, from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A metric of a variant, at the points where every key of `where` has the value given."""

    variant: str
    metric: str
    where: tuple[tuple[str, str], ...] = ()
    position: int = 0

    def __str__(self) -> str:
        chosen = ", ".join(f"{key}={value}" for key, value in self.where)
        return f"{self.variant}.{self.metric}" + (f"[{chosen}]" if chosen else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    operand: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    operator: Operator
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    function: Function
    arguments: tuple["Expression", ...]


type Expression = Number | Reference | Negation | Arithmetic | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """terms[0] comparators[0] terms[1] comparators[1] …; holds when every pair does."""

    terms: tuple[Expression, ...]
    comparators: tuple[Comparator, ...]


def parse_claim(text: str) -> Comparison:
    """Raises ClaimError."""
    if len(text) > MAX_LENGTH:
        raise ClaimError(f"the claim is longer than {MAX_LENGTH} characters", MAX_LENGTH)
    return _Parser(text).comparison()


def references(claim: Comparison) -> tuple[Reference, ...]:
    """All metrics that a claim speaks of, in the order of the text."""
    return tuple(found for term in claim.terms for found in _references(term))


def _references(node: Expression) -> Iterator[Reference]:
    match node:
        case Reference():
            yield node
        case Negation(operand=operand):
            yield from _references(operand)
        case Arithmetic(left=left, right=right):
            yield from _references(left)
            yield from _references(right)
        case Call(arguments=arguments):
            for argument in arguments:
                yield from _references(argument)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    match: re.Match[str] | None
    position: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0

    def comparison(self) -> Comparison:
        terms = [self._sum()]
        comparators: list[Comparator] = []
        while True:
            match self._token.text:
                case "<" | "<=" | ">" | ">=" | "==" as sign:
                    self._advance()
                    comparators.append(sign)
                    terms.append(self._sum())
                case _:
                    break
        if self._token.kind != "end":
            raise self._error(f"unexpected {self._token.text!r}")
        if not comparators:
            raise self._error("a claim compares: it needs one of <, <=, >, >=, ==")
        return Comparison(terms=tuple(terms), comparators=tuple(comparators))

    def _sum(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error("the claim is nested too deeply")
        left = self._product()
        while True:
            match self._token.text:
                case "+" | "-" as sign:
                    self._advance()
                    left = Arithmetic(operator=sign, left=left, right=self._product())
                case _:
                    break
        self._depth -= 1
        return left

    def _product(self) -> Expression:
        left = self._factor()
        while True:
            match self._token.text:
                case "*" | "/" as sign:
                    self._advance()
                    left = Arithmetic(operator=sign, left=left, right=self._factor())
                case _:
                    return left

    def _factor(self) -> Expression:
        signs = 0
        while self._token.text == "-":
            self._advance()
            signs += 1
        node = self._operand()
        return Negation(operand=node) if signs % 2 else node

    def _operand(self) -> Expression:
        token = self._token
        if token.kind == "number":
            self._advance()
            share = token.text.endswith("%")
            return Number(value=float(token.text.rstrip("%")) / (100 if share else 1))
        if token.kind == "metric":
            self._advance()
            return _reference(token)
        if token.kind == "function":
            return self._call()
        if token.text == "(":
            self._advance()
            node = self._sum()
            self._expect(")")
            return node
        raise self._error(
            "the claim ends where a metric or a number should stand"
            if token.kind == "end"
            else f"unexpected {token.text!r} where a metric or a number should stand"
        )

    def _call(self) -> Call:
        token = self._token
        match token.text:
            case "abs" | "min" | "max" as function:
                self._advance()
            case _:
                raise self._error(f"unknown function {token.text!r}: there are abs, min and max")
        self._expect("(")
        arguments = [self._sum()]
        while self._token.text == ",":
            self._advance()
            arguments.append(self._sum())
        self._expect(")")
        if function == "abs" and len(arguments) != 1:
            raise ClaimError("abs takes one argument", token.position)
        return Call(function=function, arguments=tuple(arguments))

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> None:
        self._next += 1

    def _expect(self, text: str) -> None:
        if self._token.text != text:
            raise self._error(f"{text!r} is missing")
        self._advance()

    def _error(self, message: str) -> ClaimError:
        return ClaimError(message, self._token.position)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].lstrip()
            raise ClaimError(
                f"{rest.split()[0]!r} is neither a metric (VARIANT.METRIC), a number nor a sign",
                len(text) - len(rest),
            )
        kind = next(
            name for name in ("number", "metric", "function", "operator") if match[name] is not None
        )
        yield _Token(kind=kind, text=match[kind], match=match, position=match.start(kind))
        position = match.end()
    yield _Token(kind="end", text="", match=None, position=end)


def _reference(token: _Token) -> Reference:
    assert token.match is not None
    where = []
    for item in (token.match["where"] or "").split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if key and equals and value:
            where.append((key, value))
        elif token.match["where"] is not None:
            raise ClaimError(
                "brackets hold KEY=VALUE, such as [load=2000]", token.match.start("where")
            )
    return Reference(
        variant=token.match["variant"],
        metric=token.match["name"],
        where=tuple(where),
        position=token.position,
    )
