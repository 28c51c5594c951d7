"""What is read as heading, code or table, and which path each chunk has."""

from typing import Any

import pytest

from app.core.cancellation import Cancellation
from app.core.logic import chunk_text
from app.core.structure import scan_markdown, with_plain_line_ends
from app.core.tokenising import Tokenizer
from ml_shared.contracts.chunking import Chunk, ChunkRequest

PROSE = "Some words of plain prose that fill a line of the text. "


def titles(text: str) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in scan_markdown(text, Cancellation()).headings]


def blocks(text: str) -> list[str]:
    return [text[block.start : block.end] for block in scan_markdown(text, Cancellation()).blocks]


def chunks_of(tokenizer: Tokenizer, text: str, **options: Any) -> list[Chunk]:
    request = ChunkRequest(text=text, **{"max_tokens": 64, "overlap_tokens": 0} | options)
    return chunk_text(request, tokenizer, Cancellation()).result.chunks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n", [(1, "One")]),
        ("   ### Three ###  \n", [(3, "Three")]),
        ("## C#\n", [(2, "C#")]),
        ("#\n", [(1, "")]),
        ("####### seven\n", []),
        ("#hashtag\n", []),
        ("    # indented code\n", []),
        ("Title\n=====\n", [(1, "Title")]),
        ("Two\nlines\n---\n", [(2, "Two lines")]),
        ("text\n\n---\n", []),
        ("- item\n---\n", []),
        ("```\n# code\n```\n# after\n", [(1, "after")]),
        ("~~~~\n# code\n~~~\n# still\n~~~~\n# after\n", [(1, "after")]),
        ("```\n# never closed\n", []),
        ("1. step\n\n    ```\n    # code\n    ```\n\n# after\n", [(1, "after")]),
        ("``` not a `fence`\n# heading\n", [(1, "heading")]),
        ("# Win\r\n\r\ntext\r\n", [(1, "Win")]),
        ("# Mac\r\rtext\r", [(1, "Mac")]),
        ("text\n# directly below\n", [(1, "directly below")]),
        ("\ufeff# Marked\n", [(1, "Marked")]),
        ("\ufeffMarked\n===\n", [(1, "Marked")]),
        ("---\ntitle: A guide\n# a comment\ntags: [a]\n---\n# after\n", [(1, "after")]),
        ("\ufeff---\ntitle: A guide\n---\n# after\n", [(1, "after")]),
        ("+++\ntitle = 'A guide'\n+++\n# after\n", [(1, "after")]),
        ("---\n\n# between rules\n\nprose\n\n---\n", [(1, "between rules")]),
        ("---\ntitle: never closed\n# heading\n", [(1, "heading")]),
        ("<!-- hidden\n# in a comment\n-->\n# after\n", [(1, "after")]),
        ("<!-- one line -->\n# after\n", [(1, "after")]),
        ("<!-- never closed\n# heading\n", [(1, "heading")]),
        ("<pre>\n# in code\n</pre>\n# after\n", [(1, "after")]),
        ("<PRE class='x'>\n# in code\n\n# still\n</PRE> tail\n# after\n", [(1, "after")]),
        ("<script>\n# in a script\n</script>\n# after\n", [(1, "after")]),
        ("<pre>\n# heading\n<pre>\n# another\n", [(1, "heading"), (1, "another")]),
        ("<preface>\n# heading\n", [(1, "heading")]),
        ("<div>\n# heading\n</div>\n", [(1, "heading")]),
        ("prose\n\n    ```\n\n# heading\n", [(1, "heading")]),
        ("prose\n\n\t```\n\n# heading\n", [(1, "heading")]),
        ("   ```\n# code\n   ```\n# after\n", [(1, "after")]),
        ("- item\n\n  - inner\n\n        ```\n        # code\n        ```\n\n# after\n", [(1, "after")]),
        ("1. item\n\n    ```\n    # never closed\n\nprose\n\n# after\n", [(1, "after")]),
        ("- item\n\nprose\n\n    ```\n\n# heading\n", [(1, "heading")]),
        ("---\n\n# One\n\nAuthor: Jane\n\nprose\n\n---\n\n# Two\n", [(1, "One"), (1, "Two")]),
        ("---\n# One\n\nSee also: links\n\n---\n", [(1, "One")]),
        ("---\nkey: value\n\n## One\n\nSee also: links\n\n---\n", [(2, "One")]),
        ("---\n# One\nprose, and this: more\n***\n---\n", [(1, "One")]),
        ("---\n# One\nAuthor: Jane\nhttps://a.test\n\n---\n", [(1, "One")]),
        ("---\nFirst slide\n===\n", [(1, "First slide")]),
        ("prose\n***\nPart\n---\n", [(2, "Part")]),
        ("Steps:\n- one\n- two\n---\n", []),
        ("Steps:\n1. one\n2. two\n---\n", []),
        ("He said:\n> words\n---\n", []),
        (">words\n---\n", []),
        ("    code\n---\n", []),
        ("Since\n2. of it\n---\n", [(2, "Since 2. of it")]),
        ("Since\n    - code\n---\n", [(2, "Since - code")]),
        ("- item\n# One\n\n  Part\n---\n", [(1, "One"), (2, "Part")]),
        ("- - -\nPart\n---\n", [(2, "Part")]),
        ("- item\n\n  text\n---\n", []),
        ("- item\n\n  text\n===\n", []),
        ("- item\n\n  Part\n  ---\n", [(2, "Part")]),
        ("- item\n---\n\n  Part\n---\n", [(2, "Part")]),
        ("- item\n\nprose\n\n  Part\n---\n", [(2, "Part")]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n## Options | Flags\n", [(2, "Options | Flags")]),
        ("- ```\n  # code\n  ```\n\n# after\n", [(1, "after")]),
        ("1. step\n\n2. ~~~ bash\n   # code\n   ~~~\n\n# after\n", [(1, "after")]),
        ("- - ```\n    # code\n    ```\n# after\n", [(1, "after")]),
        ("- ```\n  # never closed\n\n# after\n", [(1, "after")]),
        ("-      ```\n\n# heading\n", [(1, "heading")]),
        ("- item\r\n\r\n  ```\r\n  # never closed\r\n\r\nprose\r\n\r\n# after\r\n", [(1, "after")]),
        ("> ```\n> # code\n\n# after\n", [(1, "after")]),
        ("> ```\n> # code\n# after\n", [(1, "after")]),
        ("> - ```\n>   code\n>   ```\n# after\n", [(1, "after")]),
        (">     ```\n> code\n\n# heading\n", [(1, "heading")]),
    ],
)
def test_headings_are_those_of_commonmark(text: str, expected: list[tuple[int, str]]) -> None:
    assert titles(with_plain_line_ends(text)) == expected


def test_plain_line_ends_move_no_character() -> None:
    text = "a\r\nb\rc\nd\r\n\r\n"
    plain = with_plain_line_ends(text)
    assert len(plain) == len(text)
    assert [plain.index(letter) for letter in "abcd"] == [text.index(letter) for letter in "abcd"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("before\n```py\ncode\n```\nafter", ["```py\ncode\n```"]),
        ("```\nopen", ["```\nopen"]),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |\n\nafter", ["| a | b |\n|---|:-:|\n| 1 | 2 |"]),
        ("a | b\n--|--\n1 | 2\nno more", ["a | b\n--|--\n1 | 2"]),
        ("prose\n| a |\n|---|\n| 1 |\n", ["| a |\n|---|\n| 1 |"]),
        ("a | b\nc | d\n", []),
        ("---\nkey: value\n---\nprose", ["---\nkey: value\n---\n"]),
        ("before\n\n<pre>\ncode\n</pre>\nafter", ["<pre>\ncode\n</pre>"]),
        ("a | b\n--|--\n1 | 2\n``` x | y\ncode\n```", ["a | b\n--|--\n1 | 2", "``` x | y\ncode\n```"]),
        ("- ```sh\n  code\n  ```\n- Run it", ["- ```sh\n  code\n  ```"]),
        (
            "> [!NOTE]\n> ```sh\n> code\n>\n> > more\n> > ```\n> ```\n> after",
            ["> ```sh\n> code\n>\n> > more\n> > ```\n> ```"],
        ),
        ("> ```\n> open\nprose", ["> ```\n> open"]),
        ("> ```\n> open\n\n> prose", ["> ```\n> open"]),
        ("> > ~~~\n> > code\n> after", ["> > ~~~\n> > code"]),
        ("- > ```\n  > code\n  > ```\n  after", ["- > ```\n  > code\n  > ```"]),
        ("```\n> code\n\nmore\n```\nafter", ["```\n> code\n\nmore\n```"]),
        ("> prose\n> | a | b |\n> |---|---|\n> | 1 | 2 |\n> after", ["> | a | b |\n> |---|---|\n> | 1 | 2 |"]),
        ("> a | b\n> --|--\n> 1 | 2\n\nc | d", ["> a | b\n> --|--\n> 1 | 2"]),
        ("> a | b\n> --|--\n> 1 | 2\nc | d", ["> a | b\n> --|--\n> 1 | 2"]),
        ("> a | b\n--|--\n", []),
    ],
)
def test_code_and_tables_are_blocks(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected


@pytest.mark.parametrize(
    "settings",
    [
        "title: A guide",
        "title: A guide\n",
        "# a comment\n# and another, as site generators write them\n\nlayout: home",
        "# a comment\n\nlayout: home",
        "title: A guide\n# a comment\n\ndate: 2024-01-02\n",
        "description: |\n  # no heading\n\n  Some text: more of it.\ntags:\n- one\n- two",
        "tags: [\n  one,\n  two\n]\nauthor: {\n  name: Jane\n}",
        "author:\n  name: Jane\n  links:\n    - https://a.test\nog:title: A guide",
        "\"quoted key\": 1\n'another': 2\nDate Published: today\n<<: *defaults\n$schema: x\nTitel (übersetzt): x",
        "título: Una guía\nключ: значение\n題名: 手引き",
        "title: A guide\r\n\r\ntags:\r\n  - one\r",
    ],
)
def test_settings_above_a_text_are_front_matter_whatever_yaml_they_are(settings: str) -> None:
    matter = with_plain_line_ends(f"---\n{settings}\n---\n")
    assert blocks(f"{matter}# After\n") == [matter]
    assert titles(f"{matter}# After\n") == [(1, "After")]


@pytest.mark.parametrize("toml", ["title = 'x'\n[params]\n  a = 1", '\ntitle = \'x\'\ntext = """\n# none\nprose\n"""'])
def test_settings_between_plus_signs_are_front_matter_whatever_toml_they_are(toml: str) -> None:
    assert titles(f"+++\n{toml}\n+++\n# After\n") == [(1, "After")]


def test_a_heading_directly_above_a_block_leads_it() -> None:
    text = "# T\n\n## U\n\n| a |\n|---|\n| 1 |\n\n# V\n\nprose\n\n```\ncode\n```\n"
    table, code = scan_markdown(text, Cancellation()).blocks
    assert table.lead == 0
    assert code.lead == code.start


def test_a_rule_below_a_heading_parts_it_from_nothing() -> None:
    structure = scan_markdown("prose\n\n# T\n***\n\nprose\n\nprose", Cancellation())
    assert list(structure.paragraphs) == [23]


def test_each_chunk_has_the_path_of_headings_above_it(tokenizer: Tokenizer) -> None:
    text = (
        f"{PROSE * 4}\n\n# Guide\n\n## Install\n\n{PROSE * 4}\n\n{PROSE * 4}\n\n"
        f"```\n# not a heading\n```\n\n## Use\n\n{PROSE * 4}\n\nNext\n====\n\n{PROSE * 4}"
    )
    chunks = chunks_of(tokenizer, text)
    assert chunks[0].heading_path == []
    assert {tuple(chunk.heading_path) for chunk in chunks} == {(), ("Guide", "Install"), ("Guide", "Use"), ("Next",)}
    for chunk in chunks:
        if chunk.text.startswith("# Guide"):
            assert chunk.heading_path == ["Guide", "Install"]


def test_a_heading_of_any_length_costs_its_chunks_little(tokenizer: Tokenizer) -> None:
    chunks = chunks_of(tokenizer, "# " + "long " * 3000 + "\n\n" + PROSE * 200)
    assert max(len(title) for chunk in chunks for title in chunk.heading_path) <= 200


def test_text_that_is_not_markdown_has_no_headings(tokenizer: Tokenizer) -> None:
    chunks = chunks_of(tokenizer, f"# no heading\n\n{PROSE * 20}", format="text")
    assert all(chunk.heading_path == [] for chunk in chunks)


def test_a_byte_order_mark_keeps_no_heading_from_its_chunk(tokenizer: Tokenizer) -> None:
    (chunk,) = chunks_of(tokenizer, "\ufeff# Marked\n\nSome words.")
    assert chunk.heading_path == ["Marked"]


def test_what_follows_code_on_a_list_items_own_line_is_under_the_heading_above_the_list(tokenizer: Tokenizer) -> None:
    code = "2. ```bash\n   # refresh the list\n   apt-get update\n   ```"
    text = f"# Install\n\n1. {PROSE * 3}\n\n{code}\n\n3. Configure it. {PROSE * 3}\n\n4. {PROSE * 4}"
    chunks = chunks_of(tokenizer, text)
    assert len(chunks) > 2
    assert all(chunk.heading_path == ["Install"] for chunk in chunks)
    assert any(code in chunk.text for chunk in chunks)


TABLE = "| name | value |\n|------|-------|\n"
ROWS = "".join(f"| row {number} | {number} times as much |\n" for number in range(60))


def test_a_tables_header_is_beside_the_chunks_that_go_on_with_it(tokenizer: Tokenizer) -> None:
    text = f"# Prices\n\n{PROSE}\n\n{TABLE}{ROWS}\n{PROSE * 9}"
    chunks = chunks_of(tokenizer, text, repeat_table_header=True)
    told = [chunk.context for chunk in chunks]
    assert told.count(TABLE.rstrip()) == sum(chunk.text.startswith("| row") for chunk in chunks) > 3
    assert set(told) == {None, TABLE.rstrip()}
    assert all(chunk.context is None for chunk in chunks_of(tokenizer, text))


def test_a_header_of_very_many_columns_is_not_repeated(tokenizer: Tokenizer) -> None:
    wide = f"|{'a very long name of a column|' * 100}\n|{'---|' * 100}\n"
    chunks = chunks_of(tokenizer, f"{wide}{('| 1 ' * 100 + chr(10)) * 9}", repeat_table_header=True)
    assert all(chunk.context is None for chunk in chunks)


def test_a_path_ends_with_the_page_that_its_chunk_begins_on(tokenizer: Tokenizer) -> None:
    first, second = f"# Guide\n\n{PROSE * 12}", f"\n\n## Use\n\n{PROSE * 12}"
    text = first + second
    pages = [{"number": 7, "start": len(first) + 2}, {"number": 5, "start": 0}]  # in whatever order
    chunks = chunks_of(tokenizer, text, pages=pages)
    for chunk in chunks:
        page = "Page 7" if chunk.start >= len(first) + 2 else "Page 5"
        assert chunk.heading_path == ["Guide", *(["Use"] if page == "Page 7" else []), page]
    assert len({chunk.heading_path[-1] for chunk in chunks}) == 2
    late = chunks_of(tokenizer, text, pages=pages[:1])
    assert late[0].heading_path == ["Guide"]
    assert late[-1].heading_path == ["Guide", "Use", "Page 7"]
