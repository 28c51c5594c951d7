"""Lays a configuration out as `alloy fmt` of v1.18 does (Alloy's own `syntax/printer`).

Tabs; the signs of neighbours below each other; a line of its own between a block and what stands before it, unless that is a
comment. Text is taken as its lines are: one statement, field, element or argument each, or a list that fits into one.
"""

import re
from collections.abc import Iterator
from typing import Final

_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|//.*|[{}\[\]()]')
# strings and comments, whose brackets are none
_ASSIGNED: Final = re.compile(r'(?P<name>"[^"]*"|\w+) *= *(?P<value>.+)')
_BLOCK: Final = re.compile(r'[\w.]+( "\w+")? \{( \})?')
_COMMENT: Final = "//"
_CLOSING: Final = "}])"


def formatted(text: str) -> str:
    """Return the text as `alloy fmt` would write it."""
    lines = list(_spaced([line.strip() for line in text.strip().splitlines()]))
    return "".join(f"{line}\n" for line in _indented(lines, _aligned(lines)))


def _brackets(line: str) -> list[str]:
    return [piece for piece in _PIECE.findall(line) if len(piece) == 1]


def _opened(line: str) -> int:
    """Return how many brackets a line leaves open; below zero, how many of others' it closes."""
    brackets = _brackets(line)
    return len(brackets) - 2 * sum(bracket in _CLOSING for bracket in brackets)


def _spaced(lines: list[str]) -> Iterator[str]:
    """Go through the lines, with the empty ones that there are to be."""
    before, empty = "", False
    for line in lines:
        if not line:
            empty = True
            continue
        after_statement = bool(before) and _opened(before) <= 0 and line[0] not in _CLOSING
        if after_statement and (empty or (_BLOCK.fullmatch(line) and not before.startswith(_COMMENT))):
            yield ""
        yield line
        before, empty = line, False


def _aligned(lines: list[str]) -> list[str]:
    """Return the lines with the signs of each run at one place; what takes more lines than one is its run's last."""
    shown = list(lines)
    run: list[tuple[int, re.Match[str]]] = []
    for number, line in enumerate(lines):
        if found := _ASSIGNED.fullmatch(line):
            run.append((number, found))
            width = max(len(one["name"]) for _, one in run)
            for place, one in run:
                shown[place] = f"{one['name']:<{width}} = {one['value']}"
        if not found or _opened(line) > 0:
            run = []
    return shown


def _indented(lines: list[str], shown: list[str]) -> Iterator[str]:
    """Go through the lines with their tabs: however many brackets one line has left open, they are one step together."""
    open_since: list[int] = []
    for number, (line, text) in enumerate(zip(lines, shown, strict=True)):
        closed_first = len(line) - len(line.lstrip(_CLOSING))
        steps = len({*open_since[: len(open_since) - closed_first]})
        yield "\t" * steps + text if line else ""
        for bracket in _brackets(line):
            if bracket in _CLOSING:
                open_since.pop()
            else:
                open_since.append(number)
