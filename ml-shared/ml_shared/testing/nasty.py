"""Values that something once stumbled over: what a caller can put in the place of any other."""

from collections.abc import Mapping
from typing import Any, Final

_NESTED_LEVELS: Final = 200
# a parser takes it, and not everything behind

PRINTABLE: Final = "".join(map(chr, range(32, 127)))
# every printable character of ASCII, for what takes any: a password
PUNCTUATION: Final = "".join(one for one in PRINTABLE if not one.isalnum())
# all but letters and digits, for what takes fewer characters: a role's name has 63 at most

TIMES_REFUSED: Final = (
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00",
    "2026-01-01",
    "infinity",
    "5",
    "0.5",
    "1e400",
)
TIMES_TAKEN: Final = (
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "1969-12-31T23:59:59-12:00",
    "2026-01-01T00:00:00.123456789+14:00",
)

TEXTS: Final = (
    "",
    "5",
    "true",
    " ",
    "9" * 5_000,  # int() refuses it with an error of its own
    *TIMES_REFUSED[:2],
    *TIMES_TAKEN[:2],
    "\0",
    "a\0b",
    "a\n",
    "%_\\",
    "'; DROP TABLE jobs; --",
    "\U0001f984",
    "\u202e\ufeff\uffff",
    "x" * 300,
    "x" * 10_000,
)
PARAMETERS: Final = (
    *TEXTS,
    "0",
    "-1",
    " 5",
    "+5",
    "5.0",
    "1_000",
    "\u0665",  # a digit, but no ASCII one
    "null",
    "NaN",
    str(2**31),
    str(2**63),
    *TIMES_REFUSED[2:4],
    *TIMES_TAKEN[2:],
    "%00",
    "../../etc/passwd",
    "{00000000-0000-0000-0000-000000000000}",
    "00000000-0000-0000-0000-000000000000",
    "1_1" + "0" * 29,  # a UUID to Python
    # cursors of an earlier kind, and what looks like one
    "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIl0",
    "AA==",
    "1AAAAAAAAAAAAW10",
    "1" + "A" * 4_095,
)
"""Of a path or a query, where everything is a text."""

RAW_QUERY: Final = ("%ED%A0%80", "%FF%FE", "%", "%C0%80", "+", "%2B")
"""Percent-encoded, and not of any text: half a surrogate pair, no UTF-8, half an escape, an overlong NUL."""

NAMES: Final = (
    "",
    "\0",
    "\ud800",
    "\U0001f984",
    "x" * 10_000,
    "__class__",
    "__dict__",
    "model_extra",
    "model_config",
    "self",
)
"""Of fields that there are not: some are Python's own, or pydantic's."""

HEADERS: Final = (
    b"",
    b"\xe9",
    b"\xff" * 20,
    b"a\tb",
    b"x" * 5_000,
    b"\xed\xa0\x80",
    b'"',
    b"wait=1e999",
    b"wait=-1, ,",
)


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": [value]}
    return value


OF_ANY_KIND: Final[Mapping[str, tuple[Any, ...]]] = {
    "null": (None,),
    "boolean": (True, False),
    "integer": (0, 1, -1, 5, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400),
    "number": (0.5, 5.0, -0.0, 1e308, 5e-324, float("nan"), float("inf"), -float("inf")),
    "string": (*TEXTS, "\ud800", "a\udc00b"),
    "array": ([], [[]], [None], [5], ["\0", "\ud800"], ["a", {}], ["x"] * 5_000),
    "object": (
        {},
        {"": None},
        {"\0": 1, "a": "\0"},
        {"\ud800": 1},
        {"a": "\ud800"},
        {"a": [float("nan")]},
        {"a": 2**64},
        {"a": 1e308, "b": -1e308},
        {str(number): number for number in range(100)},
        _nested(_NESTED_LEVELS),
    ),
}
"""By the name that a JSON schema has for the kind. A JSON parser that is strict refuses some before they are values."""


def kind_of(value: Any) -> str:
    """Return what a JSON schema calls a value's type."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
