"""Texts that break splitters, and random mixtures of them."""

import random

LONG_WORD = "x" * 8_000

NASTY: dict[str, str] = {
    "nothing": "",
    "blank": " \n\t \r\n\u3000\u00a0 ",
    "one character": "x",
    "one word without end": LONG_WORD,
    "a word without end between others": f"before {LONG_WORD} after. " * 3,
    "base64 lines": "\n".join("QUJDRA" * 40 for _ in range(60)),
    "Chinese": "漢字かな交じり文。長い文章が続く、" * 150,
    "Korean and Thai": "한국어 문장입니다. ภาษาไทยไม่มีช่องว่าง " * 100,
    "emoji in families": "👩‍👩‍👧‍👦👍🏽🇩🇪 " * 100,
    "combining marks": "e\u0301a\u0308o\u0302 " * 300 + "a" + "\u0301" * 3000,
    "only invisible characters": "\u200b\u200d\u00ad" * 3000,
    "control characters": "a\x00b\x01c\x7f\ufffd " * 250,
    "Windows line ends": "# Title\r\n\r\nA line.\r\nAnother line.\r\n\r\n" * 100,
    "old Macintosh line ends": "# Title\r\rA line.\rAnother line.\r\r" * 100,
    "only headings": "\n".join(f"{'#' * (1 + index % 6)} Heading {index}" for index in range(300)),
    "a heading without end": "# " + "word " * 2000,
    "empty headings": "#\n##\n###\n" * 100,
    "a huge table": "| a | b |\n|---|---|\n" + "| cell one | cell two |\n" * 500,
    "an unclosed fence": "# Before\n\n```python\n" + "print('# no heading')\n" * 300,
    "fences within fences": "````\n```\n# no\n```\n````\n\ntext\n\n" * 100,
    "code on list items' own lines": "- ```sh\n  # no\n  ```\n\n2. ~~~\n   no end\n\ntext\n\n" * 60,
    "tables and code in quotations": "> | a | b |\n> |---|---|\n> | 1 | 2 |\n>\n> ```\n> > no\n> ```\n\n" * 60,
    "a huge table in a quotation": "> | a | b |\n> |---|---|\n" + "> | cell one | cell two |\n" * 300,
    "quotation marks": "> " * 2000 + "```\n" + "> " * 2000 + "x",
    "setext": "Title\n=====\n\nSome text here.\n\nPart\n---\n\nMore text.\n\n" * 100,
    "full stops": "." * 4000,
    "backticks": "`" * 4000,
    "pipes and dashes": "|-" * 2000,
    "line ends": "a" + "\n" * 20_000 + "b",
    "white space between words": ("x" + " " * 3000) * 10,
    "accents that unfold": "ﬃ ﷺ Å ǆ ㍿ " * 100,
    "right to left": "مرحبا بالعالم. שלום עולם! " * 150,
    "control words of the model": "[CLS] [SEP] [MASK] [UNK] [PAD] " * 150,
}

_PIECES = [
    "\n", "\n\n", "\r\n", "\r\n\r\n", " ", "  ", "\t", ". ", "! ", "。", "# One\n", "## Two\n\n", "\n### Three ###\n",
    "\n```\n", "\n~~~~\n", "\nTitle\n---\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "- item\n", "> quote\n", "word ",
    "unbelievable ", "Straße ", "漢字", "👩‍👧", "e\u0301", "\u200b", "antidisestablishmentarianism", "x" * 150, "1,234.56 ",
]  # fmt: skip


def random_text(seed: int, pieces: int = 400) -> str:
    """A mixture of what structure and tokens are made of, the same for the same seed."""
    source = random.Random(seed)
    few = source.sample(_PIECES, source.randint(3, len(_PIECES)))
    return "".join(source.choice(few) * source.choice((1, 1, 1, 2, 30)) for _ in range(pieces))
