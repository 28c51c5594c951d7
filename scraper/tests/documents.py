"""Ten documents, told once: what `producers` make files of, and what has to be read out of each file.

A document is a list of blocks; of what a kind cannot say (a sheet has no lists) only the rest is expected.
"""

import html
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_WORDS: Final = [
    "harbour",
    "boat",
    "tide",
    "quay",
    "ferry",
    "mooring",
    "captain",
    "lantern",
    "cargo",
    "anchor",
    "vessel",
    "storm",
    "signal",
    "channel",
    "pilot",
    "berth",
    "customs",
    "gangway",
    "weather",
    "forecast",
    "rope",
    "engine",
    "deck",
    "cabin",
    "compass",
    "chart",
    "depth",
    "breakwater",
    "rudder",
    "tender",
    "winch",
    "buoy",
    "skipper",
]
LONG_TABLE_ROWS: Final = 90


@dataclass(frozen=True)
class Heading:
    """A heading; the document's title is of level 1."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list: texts with their depth."""

    items: tuple[tuple[int, str], ...]
    numbered: bool = False


@dataclass(frozen=True)
class Table:
    """A table; its first row is its header."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Code:
    """Lines of code."""

    text: str


Block = Heading | Paragraph | Items | Table | Code


@dataclass(frozen=True)
class Document:
    """A document."""

    name: str
    blocks: tuple[Block, ...]

    @property
    def title(self) -> str:
        return next(block.text for block in self.blocks if isinstance(block, Heading))

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]

    def sections(self) -> list[tuple[Heading, list[Block]]]:
        """Return its parts, each under its heading."""
        parts: list[tuple[Heading, list[Block]]] = []
        for block in self.blocks:
            if isinstance(block, Heading):
                parts.append((block, []))
            else:
                parts[-1][1].append(block)
        return parts

    def without(self, *kinds: type) -> "Document":
        """Return it without blocks of some kinds."""
        return Document(self.name, tuple(block for block in self.blocks if not isinstance(block, kinds)))

    def html(self) -> str:
        """Return it as a page."""
        return f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(self.title)}</title></head><body><main>\n{self.body_html()}</main></body></html>"

    def body_html(self) -> str:
        return "\n".join(map(_html, self.blocks))


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Code):
        return f"<pre><code>{html.escape(block.text)}</code></pre>"
    if isinstance(block, Table):
        rows = [
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            for tag, row in [("th", block.rows[0]), *(("td", row) for row in block.rows[1:])]
        ]
        body = "".join(f"<tr>{row}</tr>" for row in rows[1:])
        return f"<table><thead><tr>{rows[0]}</tr></thead><tbody>{body}</tbody></table>"
    return _html_list(block)


def _html_list(block: Items) -> str:
    tag, depth, parts = ("ol" if block.numbered else "ul"), -1, []
    for level, text in block.items:
        if level > depth:
            parts.append(f"<{tag}>" * (level - depth))
        elif level < depth:
            parts.append(f"</li></{tag}>" * (depth - level) + "</li>")
        else:
            parts.append("</li>")
        parts.append(f"<li>{html.escape(text)}")
        depth = level
    return "".join(parts) + f"</li></{tag}>" * (depth + 1)


def _sentences(seed: int, count: int) -> str:
    pick = random.Random(seed)
    sentences = []
    for _ in range(count):
        words = [pick.choice(_WORDS) for _ in range(pick.randint(6, 14))]
        sentences.append(" ".join(words).capitalize() + ".")
    return " ".join(sentences)


def _paragraphs(seed: int, count: int) -> tuple[Paragraph, ...]:
    return tuple(Paragraph(_sentences(seed * 100 + index, 4)) for index in range(count))


_PRICES: Final = Table(
    (("Boat", "Length", "Price"), ("Dinghy", "3 m", "5"), ("Yacht", "12 m", "30"), ("Barge", "30 m", "90"))
)

DOCUMENTS: Final = (
    Document(
        "report",
        (
            Heading(1, "Report on the harbour"),
            *_paragraphs(1, 2),
            Heading(2, "Traffic in winter"),
            *_paragraphs(2, 2),
            Heading(2, "Traffic in summer"),
            Heading(3, "Ferries and their masters"),
            *_paragraphs(3, 1),
        ),
    ),
    Document(
        "lists",
        (
            Heading(1, "What to bring along"),
            Paragraph("Before a boat leaves, its crew looks for these things on deck."),
            Items(
                (
                    (0, "a rope of twelve metres"),
                    (0, "a lantern"),
                    (1, "with two wicks"),
                    (1, "and oil"),
                    (0, "a chart"),
                )
            ),
            Heading(2, "What to do first"),
            Items(((0, "untie the boat"), (0, "push it off"), (0, "set the sail")), numbered=True),
            Paragraph("Whoever is last on the quay watches the others leave."),
        ),
    ),
    Document(
        "prices",
        (
            Heading(1, "Prices of berths"),
            Paragraph("All prices are for one night."),
            _PRICES,
            Paragraph("Children sail free."),
        ),
    ),
    Document(
        "register",
        (
            Heading(1, "Register of boats"),
            Paragraph("Every boat that has a berth is in this register, by its number."),
            Table(
                (
                    ("Number", "Name", "Owner"),
                    *((str(n), f"Boat {n}", f"Owner {n * 7}") for n in range(1, LONG_TABLE_ROWS + 1)),
                )
            ),
            Paragraph("The register is renewed every year in spring."),
        ),
    ),
    Document(
        "names",
        (
            Heading(1, "Größe und Gewicht der Schiffe"),
            Paragraph("Der Kapitän heißt Øystein Åkesson, seine Fähre «Liberté» fährt für 12 £ nach Cáceres."),
            Heading(2, "Ça coûte cher, señor"),
            Paragraph("Où est la façade du château? Elle coûte 5 ½ § 3 ± 1."),
        ),
    ),
    Document(
        "code",
        (
            Heading(1, "How to moor by program"),
            Paragraph("The function is called with a boat, and answers with its rope."),
            Code("def moor(boat):\n    rope = boat.rope()\n    return rope.tie(boat.stern)"),
            Paragraph("Whatever it raises is the fault of the weather."),
        ),
    ),
    Document(
        "markup",
        (
            Heading(1, "Signs that mean something else"),
            Paragraph("# is no heading here, and <b>bold</b> is no element & no entity."),
            Paragraph("2024. was a good year, said the captain of the ferry."),
            Table((("Sign", "Meaning"), ("a | b", "either"), ("<tag>", "no element"))),
        ),
    ),
    Document(
        "manual",
        (
            Heading(1, "The manual of the pilot"),
            *(
                block
                for chapter in range(1, 7)
                for block in (Heading(2, f"Chapter on the {_WORDS[chapter]}"), *_paragraphs(20 + chapter, 7))
            ),
        ),
    ),
    Document(
        "deep",
        (
            Heading(1, "Rules of the port"),
            Paragraph("Rules are numbered by what they are about."),
            *(
                block
                for level, name in (
                    (2, "On boats"),
                    (3, "On sails"),
                    (4, "On ropes"),
                    (2, "On people"),
                    (3, "On pilots"),
                )
                for block in (Heading(level, name), Paragraph(f"{_sentences(level * 31 + len(name), 3)}"))
            ),
        ),
    ),
    Document(
        "mixed",
        (
            Heading(1, "Yearbook of the harbour"),
            *_paragraphs(50, 1),
            Heading(2, "Berths and what they cost"),
            _PRICES,
            *_paragraphs(51, 1),
            Heading(2, "Storms of the year"),
            Items(((0, "the storm of January"), (0, "the storm of March"), (0, "the great storm of October"))),
            Table((("Storm", "Lost"), ("January", "0"), ("March", "2"), ("October", "11"))),
            *_paragraphs(52, 1),
        ),
    ),
)


def missing(document: Document, markdown: str, *, levels: bool = True) -> list[str]:
    """Return what of a document is not in a text, or not in its order."""
    wrong: list[str] = []
    lines = markdown.split("\n")
    plain = [_plain(line) for line in lines]
    at = 0
    depths: list[int] = []
    for what, is_it in _expected(document):
        found = next((index for index in range(at, len(lines)) if is_it(lines[index], plain[index])), None)
        if found is None:
            again = any(is_it(line, text) for line, text in zip(lines, plain, strict=True))
            wrong.append(f"{what}{' (elsewhere)' if again else ''}")
        else:
            at = found + (0 if what.startswith("code") else 1)
            if what.startswith("heading"):
                depths.append(len(lines[found]) - len(lines[found].lstrip("#")))
    wanted = [block.level for block in document.blocks if isinstance(block, Heading)]
    if (
        levels
        and not wrong
        and [_sign(b - a) for a, b in pairwise(depths)] != [_sign(b - a) for a, b in pairwise(wanted)]
    ):
        wrong.append(f"levels {depths} for {wanted}")
    return wrong


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _expected(document: Document) -> Iterable[tuple[str, Callable[[str, str], bool]]]:
    for block in document.blocks:
        if isinstance(block, Heading):
            yield f"heading: {block.text}", _is_heading(block.text)
        elif isinstance(block, Paragraph):
            yield f"paragraph: {block.text}", _is_text(block.text)
        elif isinstance(block, Items):
            for _, text in block.items:
                yield f"item: {text}", _is_item(text)
        elif isinstance(block, Table):
            for row in block.rows:
                yield f"row: {row}", _is_row(row)
        else:
            for line in block.text.split("\n"):
                yield f"code: {line}", _is_code(line)


def _is_heading(wanted: str) -> Callable[[str, str], bool]:
    return lambda line, plain: line.startswith("#") and plain.lstrip("# ") == wanted


def _is_text(wanted: str) -> Callable[[str, str], bool]:
    return lambda line, plain: plain == wanted and line[:2] not in ("# ", "- ")


def _is_item(wanted: str) -> Callable[[str, str], bool]:
    return lambda line, plain: re.fullmatch(rf"\s*(?:[-*+]|\d+\.) {re.escape(wanted)}", plain) is not None


def _is_row(wanted: Sequence[str]) -> Callable[[str, str], bool]:
    return lambda line, plain: (
        line.startswith("|")
        and _plain(line.replace("\\|", "/").replace("|", " "))
        == _plain(" ".join(cell.replace("|", "/") for cell in wanted))
    )


def _is_code(wanted: str) -> Callable[[str, str], bool]:
    return lambda line, plain: line == wanted


def _plain(line: str) -> str:
    return " ".join(re.sub(r"\\([<#.|*_`>&-])", r"\1", line).split())
