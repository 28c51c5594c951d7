"""JSON as RFC 8259 has it and no further: no NaN, no name twice, nothing deeper or larger than can be worked on.

A large body is parsed in pieces, between which the event loop serves others. Python's own scanner does the work: it is
as fast as any here, but in one call and with the interpreter's lock, and 24 MB of `[],` take it seconds.
"""

import asyncio
import codecs
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final, NoReturn

from ml_shared.errors import InvalidError
from ml_shared.http.problems import FieldError, invalid_fields

LARGE_BYTES: Final = 256 * 1024
# up to here in one call: some milliseconds, whatever is in it
MAX_VALUES: Final = 250_000
# of one body; each takes 30 to 70 bytes, where its text may have two
MAX_DEPTH: Final = 64
# of arrays and objects within each other
NUMBER_MAX_CHARACTERS: Final = 64
# PostgreSQL and JavaScript keep fewer digits; the time that int() takes grows by their square
TURN_SECONDS: Final = 0.005
# what is parsed before others get their turn; one block may come on top
BLOCKS: Final = (8 * 1024, 64 * 1024)
# of characters, in which it is tried to parse a value at once: most are short
TEXT_BLOCK: Final = 1024 * 1024
# of a text that is longer, and of bytes to decode
BLANKS_MAX_CHARACTERS: Final = 64 * 1024
# in a row

_SPACE: Final = re.compile(rf"[ \t\n\r]{{0,{BLANKS_MAX_CHARACTERS}}}")
_ESCAPE_CHARACTERS: Final = 12
# the longest: \ud83d\ude00


class _RefusedError(Exception):
    """JSON that is well formed, and is not taken."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise _twice(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return found


def _constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} is not JSON; send null, or leave it out")


def _float(text: str) -> float:
    value = float(text)  # takes a time that grows by the digits alone
    if value in (float("inf"), float("-inf")):
        raise _RefusedError("a number is out of range: a 64-bit float holds up to 1.8e308")
    return value


def _int(text: str) -> int:
    if len(text) > NUMBER_MAX_CHARACTERS:
        raise _RefusedError(f"a number has {len(text)} digits; {NUMBER_MAX_CHARACTERS} is the most")
    return int(text)


_decoder: Final = JSONDecoder(object_pairs_hook=_unique, parse_float=_float, parse_int=_int, parse_constant=_constant)
_scan: Final[Callable[[str, int], tuple[Any, int]]] = _decoder.scan_once  # type: ignore[attr-defined]
# what `raw_decode` calls


def _twice(name: str) -> InvalidError:
    shown = name.encode("utf-8", "replace").decode()
    return invalid_fields([FieldError(field=f"body.{shown}", message="this name stands twice", type="duplicate_name")])


def _refused(message: str) -> InvalidError:
    return invalid_fields([FieldError(field="body", message=message, type="json_refused")])


def _not_json(error: JSONDecodeError) -> InvalidError:
    message = f"not valid JSON: {error.msg}, at character {error.pos}"
    return invalid_fields([FieldError(field="body", message=message, type="json_invalid")])


def _decoded(raw: bytes | bytearray) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _refused(f"not UTF-8, at byte {error.start}") from None


async def _decoded_in_pieces(raw: bytes | bytearray) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    parts = []
    try:
        for start in range(0, len(raw), TEXT_BLOCK):
            block = raw[start : start + TEXT_BLOCK]
            parts.append(decoder.decode(block, start + TEXT_BLOCK >= len(raw)))
            await asyncio.sleep(0)
    except UnicodeDecodeError:
        raise _refused("not UTF-8") from None
    return "".join(parts)


def _weigh(value: Any) -> int:
    """Return how many values one is made of."""
    kind = type(value)
    if kind is list:
        return 1 + sum(map(_weigh, value))
    if kind is dict:
        return 1 + sum(map(_weigh, value.values()))
    return 1


@contextmanager
def _told() -> Iterator[None]:
    """Tell of what is wrong with a document as our errors do."""
    try:
        yield
    except JSONDecodeError as error:
        raise _not_json(error) from None
    except _RefusedError as refused:
        raise _refused(str(refused)) from None
    except RecursionError:
        raise _refused("nested too deeply") from None


def parse(raw: bytes | bytearray) -> Any:
    """Return what a JSON document says, parsed at once: for short ones.

    Raises
    ------
    InvalidError
        `422 invalid_request`, saying where it is not JSON, which name stands twice, or what is out of range.
    """
    text = _decoded(raw)
    with _told():
        return _decoder.decode(text)


async def parse_in_pieces(raw: bytes | bytearray) -> Any:
    """Return what a JSON document says, with the event loop free every few milliseconds: for long ones.

    Raises
    ------
    InvalidError
        As `parse`, and for a document of more than 250,000 values, or nested deeper than 64.
    """
    text = await _decoded_in_pieces(raw)
    with _told():
        return await _Pieces(text).document()


_LONG: Final = object()
# a value that does not end within a block


class _Pieces:
    """One document, and how far it is parsed. What fits a block goes to the scanner whole, what does not is entered."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._values = 0
        self._turn_ends = time.perf_counter() + TURN_SECONDS

    async def document(self) -> Any:
        value = self._at_once()
        if value is _LONG:
            value = await self._long(0)
        if self._next():
            raise JSONDecodeError("Extra data", self._text, self._at)
        return value

    async def _long(self, depth: int) -> Any:
        if self._text[self._at] == '"':
            return await self._long_text()
        if depth == MAX_DEPTH:
            raise _RefusedError(f"nested deeper than {MAX_DEPTH}")
        return await self._entered("]" if self._text[self._at] == "[" else "}", depth + 1)

    async def _entered(self, closing: str, depth: int) -> list[Any] | dict[str, Any]:
        """Parse a container item by item."""
        items: list[Any] = []
        members: dict[str, Any] = {}
        self._at += 1
        if self._next() == closing:
            self._at += 1
            return items if closing == "]" else members
        while True:
            name = self._name() if closing == "}" else None
            value = self._at_once()
            if value is _LONG:
                value = await self._long(depth)
            if name is None:
                items.append(value)
            elif name in members:
                raise _twice(name)
            else:
                members[name] = value
            if self._ends(closing):
                return items if name is None else members
            await self._give_way()

    async def _long_text(self) -> str:
        """Parse a text block by block, none of which ends within an escape."""
        parts: list[str] = []
        self._at += 1
        while True:
            block = self._text[self._at : self._at + TEXT_BLOCK]
            if len(block) == TEXT_BLOCK:
                block = block[: _whole_escapes(block)]
            part, end = _scan(f'"{block}"', 0)  # an unterminated text ends in its quote, at the document's end
            parts.append(part)
            self._at += end - 1
            if end <= len(block) + 1:  # the text's own quote came first
                value = "".join(parts)
                self._count(_weigh(value))
                return value
            self._at -= 1
            if self._at >= len(self._text):
                raise JSONDecodeError("Unterminated string", self._text, self._at)
            await self._give_way()

    async def _give_way(self) -> None:
        if time.perf_counter() > self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = time.perf_counter() + TURN_SECONDS

    def _next(self) -> str:
        """Return the next character that means something; nothing at the end."""
        text = self._text
        character = text[self._at : self._at + 1]
        if character in " \t\n\r":
            self._at = _SPACE.match(text, self._at).end()  # type: ignore[union-attr]  # it matches nothing, too
            character = text[self._at : self._at + 1]
            if character and character in " \t\n\r":
                raise _RefusedError(f"more than {BLANKS_MAX_CHARACTERS} blanks in a row")
        return character

    def _name(self) -> str:
        name = self._at_once() if self._next() == '"' else None
        if not isinstance(name, str):
            raise JSONDecodeError("Expecting a property name in double quotes", self._text, self._at)
        if self._next() != ":":
            raise JSONDecodeError("Expecting ':' delimiter", self._text, self._at)
        self._at += 1
        return name

    def _ends(self, closing: str) -> bool:
        character = self._next()
        if character not in (",", closing):
            raise JSONDecodeError("Expecting ',' delimiter", self._text, self._at)
        self._at += 1
        return character == closing

    def _at_once(self) -> Any:
        """Parse the next value, if it ends within a block."""
        long = self._next() in ('"', "[", "{")
        for characters in BLOCKS if long else (NUMBER_MAX_CHARACTERS * 2,):
            block = self._text[self._at : self._at + characters]
            try:
                value, end = _scan(block, 0)
            except (JSONDecodeError, StopIteration):  # it is longer, or wrong: which of the two shows further on
                continue
            self._at += end
            self._count(_weigh(value))
            return value
        if not long:
            raise JSONDecodeError("Expecting value", self._text, self._at)
        self._count(1)
        return _LONG

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _RefusedError(f"more than {MAX_VALUES:,} values; send it in parts")


def _whole_escapes(block: str) -> int:
    """Return how much of a block of a text ends in no escape, nor between the two halves of a character."""
    backslash = block.rfind("\\", len(block) - _ESCAPE_CHARACTERS)
    if backslash < 0:
        return len(block)
    before = block[: backslash + 1]
    if (len(before) - len(before.rstrip("\\"))) % 2 == 0:  # it is itself escaped
        return backslash + 1
    half = before[-7:-5].lower() == "\\u" and before[-5:-3].lower() in ("d8", "d9", "da", "db")
    return backslash - 6 if half else backslash
