"""Phrases in quotation marks: what they are found in, in whatever locale a database was made."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.core.logic import execute_search
from app.core.phrases import SEPARATORS, pattern
from app.core.service import Embedding
from ml_shared.contracts.embedding import SearchRequest
from tests.documents import OWNER, index

COLLATIONS = ("C", "pg_c_utf8", "C.utf8", "en_US.utf8", "und-x-icu")
# of what a server takes for a letter each has another idea

FOUND = [
    ("Python", "学习Python入门教程"),
    ("Python入门", "学习Python入门教程"),
    ("Python入门", "学习 Python 入门"),
    ("学习 python", "学习Python入门教程"),
    ("ภาษาไทยนั้น", "เขาว่าภาษาไทยนั้นยาก"),
    ("यह हिन्दी", "और यह हिन्दी।"),
    ("База Данных", "старая база данных здесь"),
    ("ÜBER größe", "etwas über: Größe"),
    ("Zürich", "in Zu\u0308rich."),
    ("Zu\u0308rich", "in Zürich."),
    ("connection reset", "Connection\n  reset, by"),
    ("Σίσυφος", "(ΣΊΣΥΦΟΣ)"),
    ("snake_case name", "a snake_case, name"),
    ("데이터베이스", "이데이터베이스를"),
    ("heart", "❤️heart❤️"),
]
NOT_FOUND = [
    ("база данных", "база моих данных"),
    ("данны", "база данных"),
    ("Python", "MicroPython入门"),
    ("Python", "Pythonés"),
    ("हिन्द", "यह हिन्दी है"),
    ("reset", "a reset_by"),
    ("Größ", "die Größe"),
    ("Zu", "Zu\u0308rich"),
]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


@pytest.mark.parametrize("collation", COLLATIONS)
async def test_a_phrase_is_found_alike_in_each_locale(connection: asyncpg.Connection, collation: str) -> None:
    known = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = $1 AND collencoding IN (-1, 6))", collation
    )
    if not known:
        pytest.skip(f"this PostgreSQL has no collation {collation}")
    for expected, pairs in ((True, FOUND), (False, NOT_FOUND)):
        for phrase, text in pairs:
            said = await connection.fetchval(f'SELECT $1::text COLLATE "{collation}" ~ $2', text, pattern(phrase))
            assert said is expected, (phrase, text)


def test_no_letter_is_a_separator() -> None:
    separators = re.compile(f"[{SEPARATORS}]")
    points = [*range(0x80, 0xD800), *range(0xF900, 0x1F000), *range(0x20000, 0x30000)]
    assert [chr(point) for point in points if chr(point).isalpha() and separators.match(chr(point))] == []
    assert all(map(separators.match, " .,;-/()„“«»。、！？।؟ ·•…→№©€"))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("Python入门", "学习Python入门教程"),
        ("python", "学习Python入门教程"),
        ("猫が", "黒猫がいる"),
        ("ภาษาไทยนั้น", "เขาว่าภาษาไทยนั้นยาก"),
        ("база данных", "База данных."),
        ("यह हिन्दी", "और यह हिन्दी।"),
    ],
)
async def test_a_search_finds_phrases_of_scripts_with_and_without_blanks(
    service: Embedding, phrase: str, text: str
) -> None:
    await index(service, text, "база моих данных и Python3")
    asked = SearchRequest(query=f'"{phrase}"', corpus_name="docs", mode="text")
    assert [hit.text for hit in (await execute_search(service, OWNER, asked)).results] == [text]
