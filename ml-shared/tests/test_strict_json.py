"""JSON as RFC 8259 has it: the same whether it is parsed at once or in pieces, and never in one long breath."""

import asyncio
import gc
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ml_shared.errors import InvalidError
from ml_shared.http.strict_json import LARGE_BYTES, MAX_DEPTH, MAX_VALUES, TEXT_BLOCK, parse, parse_in_pieces
from ml_shared.service import GC_THRESHOLD
from ml_shared.testing.pace import slowness

HOLD_SECONDS = 0.05
# the longest that anything may hold the loop


async def both(raw: bytes) -> Any:
    """Parse in either way; both have to come to the same."""
    at_once, in_pieces = parse(raw), await parse_in_pieces(raw)
    assert at_once == in_pieces
    return at_once


async def refusal(raw: bytes) -> dict[str, str]:
    """Return what is said of a document that neither way takes."""
    with pytest.raises(InvalidError) as at_once:
        parse(raw)
    with pytest.raises(InvalidError) as in_pieces:
        await parse_in_pieces(raw)
    [first], [second] = at_once.value.extra["errors"], in_pieces.value.extra["errors"]
    assert first["type"] == second["type"], (first, second)
    return dict(second)


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", "null", "true", "0", "-1.5e3", '""', ' {"a" : [ 1 , 2.5 , "x" ] , "b" : {"c" : null} } \n',
        '"\\u00e9\\n\\\\\\"/\\ud83d\\ude00"', '{"":""}', "[[[[]]]]", '"é😀"', "12345678901234567890123",
    ],
)  # fmt: skip
async def test_what_is_json_is_read_as_python_reads_it(text: str) -> None:
    assert await both(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "json_invalid"),
        (b"{", "json_invalid"),
        (b'{"a"}', "json_invalid"),
        (b'{"a": 1,}', "json_invalid"),
        (b"[1 2]", "json_invalid"),
        (b"[1],", "json_invalid"),
        (b"{'a': 1}", "json_invalid"),
        (b'"open', "json_invalid"),
        (b'"\\x"', "json_invalid"),
        (b'"\n"', "json_invalid"),
        (b"nul", "json_invalid"),
        (b"01", "json_invalid"),
        (b"{1: 2}", "json_invalid"),
        (b"NaN", "json_refused"),
        (b'{"a": [Infinity]}', "json_refused"),
        (b"[-Infinity]", "json_refused"),
        (b"[1e999]", "json_refused"),
        (b"[" + b"9" * 65 + b"]", "json_refused"),
        (b'"\xff"', "json_refused"),
        ('"x"'.encode("utf-16"), "json_refused"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate_name"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_name"),
    ],
)
async def test_what_is_not_taken_is_told_alike_at_once_and_in_pieces(raw: bytes, kind: str) -> None:
    assert (await refusal(raw))["type"] == kind


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 100_000], ids=["arrays", "objects"])
async def test_endless_nesting_is_refused(raw: bytes) -> None:
    assert (await refusal(raw))["message"].startswith("nested")
    deepest = b"[" * MAX_DEPTH + b'"' + b"x" * 70_000 + b'"' + b"]" * MAX_DEPTH
    assert await parse_in_pieces(deepest) == parse(deepest)
    with pytest.raises(InvalidError):
        await parse_in_pieces(b"[" + deepest + b"]")


async def test_a_document_of_too_many_values_is_refused() -> None:
    with pytest.raises(InvalidError, match="does not fit"):
        await parse_in_pieces(b"[" + b"0," * MAX_VALUES + b"0]")
    with pytest.raises(InvalidError, match="does not fit"):
        await parse_in_pieces(b'{"a": [' + b"[]," * MAX_VALUES + b"0]}")


async def test_a_long_document_comes_out_as_python_reads_it() -> None:
    picker = random.Random(1)
    alphabet = ["a", "é", "😀", "\\", '"', "\n", "\u0001", "\u2028", " ", "/", "ü" * 40]

    def value(depth: int) -> Any:
        kind = picker.randrange(8 if depth < 5 else 5)
        if kind < 3:
            return "".join(picker.choices(alphabet, k=picker.choice([0, 3, 50, 90]))) * picker.choice([1, 1, 100])
        if kind < 5:
            return picker.choice([None, True, False, 0, -7, 2.5, 10**15])
        if kind < 7:
            return [value(depth + 1) for _ in range(picker.randrange(12))]
        return {f"{picker.random()}": value(depth + 1) for _ in range(picker.randrange(12))}

    for _ in range(2):
        document = {f"member {number}": value(0) for number in range(30)}
        for ascii_only in (True, False):
            raw = json.dumps(document, ensure_ascii=ascii_only, indent=picker.choice([None, 1])).encode()
            assert await parse_in_pieces(raw) == document


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("around", range(-14, 3))
async def test_a_long_text_is_cut_within_no_escape(around: int, ascii_only: bool) -> None:
    for piece in ("\\", '\\"', "😀", "\\\\\\", "é\\n😀"):
        text = "x" * (TEXT_BLOCK + around) + piece * 4 + "y" * 100
        assert await parse_in_pieces(json.dumps({"text": text}, ensure_ascii=ascii_only).encode()) == {"text": text}


@pytest.fixture
def spared_collector() -> Iterator[None]:
    """Python's garbage collector as a service sets it."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def held(raw: bytes) -> float:
    """Return the longest that the parser held the loop, in seconds of this thread's own time."""
    longest, last = 0.0, time.thread_time()
    work = asyncio.ensure_future(parse_in_pieces(raw))
    while not work.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    await asyncio.wait({work})
    work.exception()
    return longest


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(lambda: b"[" + b"[]," * 4_000_000 + b"[]]", id="empty arrays"),
        pytest.param(lambda: b'{"a": [' + b'{"a":1},' * 1_000_000 + b"1]}", id="small objects"),
        pytest.param(lambda: b"[" + b"1," * 5_000_000 + b"1]", id="numbers"),
        pytest.param(lambda: json.dumps({"text": "é" * 4_000_000}).encode(), id="a text of escapes"),
        pytest.param(lambda: json.dumps({"text": "word " * 3_000_000}).encode(), id="a text"),
        pytest.param(lambda: b" " * 10_000_000 + b"1", id="blanks"),
        pytest.param(lambda: b'{"text": "' + b"a" * 10_000_000, id="a text without an end"),
        pytest.param(lambda: b"[" + b"1" * 10_000_000 + b"]", id="a number of ten million digits"),
    ],
)
async def test_no_document_holds_the_loop(raw: Any, spared_collector: None) -> None:
    document = raw()
    assert len(document) > LARGE_BYTES
    before = slowness()
    for _ in range(3):  # the best of them, on a machine that does other things
        longest = await held(document)
        if longest < HOLD_SECONDS * max(before, slowness()):
            return
    pytest.fail(f"{longest} s without a turn for others")
