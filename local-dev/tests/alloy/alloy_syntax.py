"""Alloy's syntax, as far as these configurations use it: blocks, attributes and expressions, newlines included.

A line that ends in a value ends its statement, as in Go: a list over several lines needs a comma after its last element.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class AlloySyntaxError(ValueError):
    """The text is not Alloy's; the message has the line."""


@dataclass(frozen=True)
class Reference:
    """A name with dots: a component's export, or a function."""

    name: str


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Sum:
    left: Any
    right: Any


@dataclass
class Block:
    """A block; `name` is its whole name, such as `loki.process` or `stage.json`."""

    name: str
    label: str | None
    line: int
    attributes: dict[str, Any] = field(default_factory=dict)
    blocks: "list[Block]" = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.name}.{self.label}" if self.label else self.name

    def one(self, name: str) -> "Block":
        (found,) = (block for block in self.blocks if block.name == name)
        return found

    def walk(self) -> "Iterator[Block]":
        yield self
        for block in self.blocks:
            yield from block.walk()


def expressions(value: Any) -> Iterator[Any]:
    """Go through an expression and all that it is made of."""
    yield value
    parts: tuple[Any, ...] = ()
    if isinstance(value, Call):
        parts = value.arguments
    elif isinstance(value, Sum):
        parts = (value.left, value.right)
    elif isinstance(value, list):
        parts = tuple(value)
    elif isinstance(value, dict):
        parts = tuple(value.values())
    for part in parts:
        yield from expressions(part)


class Token(NamedTuple):
    kind: str
    text: str
    line: int


_TOKEN = re.compile(
    r"""(?P<comment> //[^\n]* ) | (?P<space> [ \t\r]+ ) | (?P<newline> \n ) | (?P<number> \d+(?:\.\d+)? )
    | (?P<string> "(?:[^"\\\n]|\\.)*" ) | (?P<name> [A-Za-z_][A-Za-z0-9_]* ) | (?P<sign> [{}\[\]().,=+] )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise AlloySyntaxError(f"line {line}: {text[at : at + 20]!r} is no token")
        kind, piece = str(match.lastgroup), match[0]
        at = match.end()
        if kind == "newline":
            if found and (found[-1].kind in ("name", "number", "string") or found[-1].text in (")", "]", "}")):
                found.append(Token("end", "end of line", line))
            line += 1
        elif kind not in ("comment", "space"):
            found.append(Token(kind, piece, line))
    return [*found, Token("end", "end of line", line), Token("eof", "end of file", line)]


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, *wanted: str) -> Token:
        token = self.next
        if wanted and token.kind not in wanted and token.text not in wanted:
            raise AlloySyntaxError(f"line {token.line}: {token.text!r} where {' or '.join(wanted)} is expected")
        self.at += 1
        return token

    def skip_ends(self) -> None:
        while self.next.kind == "end":
            self.at += 1

    def dotted(self) -> str:
        parts = [self.take("name").text]
        while self.next.text == ".":
            self.take(".")
            parts.append(self.take("name").text)
        return ".".join(parts)

    def body(self, into: Block, closing: str) -> None:
        self.skip_ends()
        while self.next.kind != closing and self.next.text != closing:
            self.statement(into)
            if self.next.text != closing:
                self.take("end")
            self.skip_ends()
        self.at += 1

    def statement(self, into: Block) -> None:
        line, name = self.next.line, self.dotted()
        if self.next.text == "=":
            self.take("=")
            if name in into.attributes:
                raise AlloySyntaxError(f"line {line}: a second {name}")
            into.attributes[name] = self.expression()
            return
        label = self.string(self.take("string").text) if self.next.kind == "string" else None
        self.take("{")
        block = Block(name, label, line)
        self.body(block, "}")
        into.blocks.append(block)

    def expression(self) -> Any:
        value = self.term()
        while self.next.text == "+" and self.next.kind == "sign":
            self.take("+")
            value = Sum(value, self.term())
        return value

    def term(self) -> Any:
        token = self.next
        if token.kind == "string":
            return self.string(self.take().text)
        if token.kind == "number":
            return float(self.take().text)
        if token.text == "[":
            return list(self.several("[", "]", self.expression))
        if token.text == "{":
            return dict(self.several("{", "}", self.pair))
        name = self.dotted()
        if name in ("true", "false"):
            return name == "true"
        if self.next.text == "(":
            return Call(name, tuple(self.several("(", ")", self.expression)))
        return Reference(name)

    def pair(self) -> tuple[str, Any]:
        key = self.take("string", "name")
        self.take("=")
        return (self.string(key.text) if key.kind == "string" else key.text), self.expression()

    def several(self, opening: str, closing: str, element: Any) -> list[Any]:
        self.take(opening)
        found = []
        while self.next.text != closing:
            found.append(element())
            if self.next.text != closing:
                self.take(",")
        self.take(closing)
        return found

    @staticmethod
    def string(text: str) -> str:
        unknown = {escape for escape in _ESCAPE.findall(text[1:-1]) if escape not in _ESCAPES}
        if unknown:
            raise AlloySyntaxError(f"{text}: no such escape: {unknown}")
        return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], text[1:-1])


def parse(text: str) -> list[Block]:
    """Return the blocks of a configuration."""
    top = Block("", None, 0)
    _Parser(text).body(top, "eof")
    if top.attributes:
        raise AlloySyntaxError(f"outside any block: {', '.join(top.attributes)}")
    return top.blocks
