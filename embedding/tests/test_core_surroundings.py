"""What stands around a passage, and a document's text: put together from chunks, and not cut within code."""

import random
from collections.abc import Sequence
from datetime import datetime

import pytest

from app.core.answers.fences import blocks, open_after
from app.core.answers.pieces import MAX_BLANKS, Piece, join
from app.core.logic import Order, execute_index, execute_search
from app.core.service import Embedding
from ml_shared.contracts.embedding import ChunkIn, Document, SearchHit, SearchRequest
from tests.documents import NOON, OWNER

FENCE = "```"


def cut(text: str, size: int, overlap: int = 0) -> list[ChunkIn]:
    """Cut a text at line ends, into chunks of about `size` characters that share about `overlap`, as chunking does."""
    chunks: list[ChunkIn] = []
    start = 0
    while start < len(text):
        end = min(len(text), start + size)
        line = text.find("\n", end)
        end = len(text) if line < 0 else line
        said = text[start:end]
        left = len(said) - len(said.lstrip("\n"))
        begin = start + left
        if said.strip():
            chunks.append(
                ChunkIn(index=len(chunks), text=text[begin:end], start=begin, end=end, token_count=len(said.split()))
            )
        if end >= len(text):
            break
        back = text.rfind("\n", begin + 1, max(begin + 1, end - overlap)) if overlap else -1
        start = back + 1 if back > begin else end + 1
    return chunks


async def put(
    service: Embedding, chunks: Sequence[ChunkIn], url: str = "https://example.com/p", at: datetime = NOON
) -> None:
    order = Order(OWNER, "docs", Document(url=url), at, at)
    await execute_index(service, order, chunks)


async def ask(service: Embedding, query: str, **request: object) -> list[SearchHit]:
    asked = {"query": query, "corpus_name": "docs", "mode": "text", "max_per_document": None, **request}
    return (await execute_search(service, OWNER, SearchRequest.model_validate(asked))).results


WORDS = [f"zq{chr(97 + number // 5)}{chr(97 + number % 5)}x" for number in range(30)]
PROSE = "\n\n".join(f"A paragraph that says {word} and little else." for word in WORDS)


@pytest.mark.parametrize("overlap", [0, 30])
async def test_context_is_the_documents_own_text_around_the_passage(service: Embedding, overlap: int) -> None:
    chunks = cut(PROSE, 60, overlap)
    await put(service, chunks)
    [hit, *_] = await ask(service, WORDS[12], context=2, highlights=True)
    assert hit.context is not None
    assert hit.context.text == PROSE[hit.context.start : hit.context.end]
    assert hit.context.first_chunk <= hit.chunk_index - 2
    assert hit.context.last_chunk >= hit.chunk_index + 2
    assert hit.text in hit.context.text
    assert not hit.context.cut
    for text, places in ((hit.text, hit.highlights), (hit.context.text, hit.context.highlights)):
        assert places is not None
        assert {text[start:end] for start, end in places} == {WORDS[12]}


async def test_contexts_that_touch_are_one_and_shown_by_the_best(service: Embedding) -> None:
    chunks = cut(PROSE, 30)
    await put(service, chunks)
    await put(service, chunks, url="https://example.com/other")
    hits = await ask(service, " ".join(WORDS[at] for at in (3, 5, 20)), context=1, top_k=50)
    shown: dict[tuple[str, int], int] = {}
    for place, hit in enumerate(hits):
        assert (hit.context is None) is (hit.context_of is not None)
        by = hits[place if hit.context_of is None else hit.context_of]
        assert by.context is not None
        assert by.document_id == hit.document_id
        assert by.context.first_chunk <= hit.chunk_index <= by.context.last_chunk
        assert hit.context_of is None or hit.context_of < place
        for index in range(by.context.first_chunk, by.context.last_chunk + 1):
            assert shown.setdefault((by.document_id, index), hits.index(by)) == hits.index(by), "a chunk is shown twice"
    assert sum(hit.context is not None for hit in hits) == 4


CODE_LINES = 14
CODE = "\n".join(f"    call_{number}(argument)" for number in range(CODE_LINES))
DOCUMENT = (
    f"{PROSE}\n\nBefore the code: needle-before.\n\n{FENCE}python\n{CODE}\n{FENCE}\n\n"
    f"After the code: needle-after.\n\n{PROSE}\n"
)
BLOCK = f"{FENCE}python\n{CODE}\n{FENCE}"


@pytest.mark.parametrize("query", ["needle-before", "needle-after", "call_5", "call_0", f"call_{CODE_LINES - 1}"])
@pytest.mark.parametrize("context", [1, 2])
@pytest.mark.parametrize("overlap", [0, 40])
async def test_context_is_never_cut_within_a_code_block(
    service: Embedding, query: str, context: int, overlap: int
) -> None:
    await put(service, cut(DOCUMENT, 80, overlap))
    [hit, *_] = await ask(service, query, context=context)
    assert hit.context is not None
    text = hit.context.text
    assert text == DOCUMENT[hit.context.start : hit.context.end]
    assert text.count(FENCE) in (0, 2)
    assert FENCE not in text or BLOCK in text
    assert "call_" in text or query.startswith("needle")
    assert not hit.context.cut


async def test_code_that_is_too_long_to_be_shown_is_left_out_or_said_to_be_cut(service: Embedding) -> None:
    long = "\n".join(f"call_{number}(argument)" for number in range(400))
    text = f"needle-before\n\n{FENCE}\n{long}\n{FENCE}\n\nneedle-after\n"
    await put(service, cut(text, 60))
    for query in ("needle-before", "needle-after"):
        [hit, *_] = await ask(service, query, context=1)
        assert hit.context is not None
        if not hit.context.cut:
            assert FENCE not in hit.context.text
    [inside, *_] = await ask(service, "call_200", context=1)
    assert inside.context is not None
    assert inside.text in inside.context.text


async def test_chunks_that_say_nothing_of_their_places_follow_one_another(service: Embedding) -> None:
    await put(service, [ChunkIn(index=2 * number, text=f"piece {number} here") for number in range(5)])
    [hit, *_] = await ask(service, '"piece 2"', context=2)
    assert hit.context is not None
    assert hit.context.text == "piece 1 here\n\npiece 2 here\n\npiece 3 here"
    assert (hit.context.start, hit.context.end) == (None, None)


def pieces_of(chunks: Sequence[ChunkIn]) -> list[Piece]:
    return [Piece(chunk.index, chunk.start, chunk.end, chunk.text) for chunk in chunks]


@pytest.mark.parametrize("seed", range(20))
def test_a_text_is_put_together_as_it_was_whatever_its_chunks_share(seed: int) -> None:
    source = random.Random(seed)
    lines = ["".join(source.choices("ab \u00e9\U0001f98a", k=source.randrange(1, 30))) for _ in range(60)]
    text = "\n".join(line.strip() or "x" for line in lines)
    joined = join(pieces_of(cut(text, source.randrange(10, 90), source.randrange(0, 60))))
    assert joined.text == text
    assert joined.start == 0


def test_a_gap_is_filled_so_that_places_hold_and_what_is_no_gap_is_not() -> None:
    near = join([Piece(0, 5, 8, "one"), Piece(1, 11, 14, "two")])
    assert (near.text, near.start, near.places) == ("one\n\n\ntwo", 5, {0: (0, 3), 1: (6, 9)})
    far = join([Piece(0, 0, 3, "one"), Piece(1, 4 + MAX_BLANKS, 7 + MAX_BLANKS, "two")])
    assert (far.text, far.start) == ("one\n\ntwo", None)
    assert join([]).text == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n```\nb\n```\nc", ["```\nb\n```"]),
        ("````\n```\n````\nx", ["````\n```\n````"]),
        ("~~~\n```\n~~~", ["~~~\n```\n~~~"]),
        ("- ```py\n  x\n  ```\n", ["- ```py\n  x\n  ```"]),
        ("> 1. ```py\n>    x\n>    ```\n> y", ["> 1. ```py\n>    x\n>    ```"]),
        ("```not code``` in a line", []),
        ("```\nnever closed", ["```\nnever closed"]),
        ("``` closed\n``` not\nx\n```", ["``` closed\n``` not\nx\n```"]),
    ],
)
def test_code_blocks_are_where_markdown_has_them(text: str, expected: list[str]) -> None:
    assert [text[begin:end] for begin, end in blocks(text, None)] == expected


def test_a_block_that_began_earlier_is_known_by_what_came_before() -> None:
    assert open_after(["a\n```py\nb", "c"]) is not None
    assert open_after(["a\n```py\nb", "c\n```\n"]) is None
    text = "still code\n```\nprose\n```\ncode\n```"
    assert [text[max(begin, 0) : end] for begin, end in blocks(text, open_after(["```"]))] == [
        "still code\n```",
        "```\ncode\n```",
    ]
