"""reStructuredText, by docutils: what it would load or run is left out, and what Sphinx adds is read as its text."""

import re
from collections.abc import Iterator
from typing import Any, Final

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives, roles

from app.core.extraction.charset import decode
from app.core.extraction.kinds import Source
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_SETTINGS: Final = {
    "file_insertion_enabled": False,  # `include`, `csv-table:: :file:`
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 5,
    "input_encoding": "unicode",
    "line_length_limit": 100_000,
    "doctitle_xform": False,
    "sectsubtitle_xform": False,
    "smart_quotes": False,
    "syntax_highlight": "none",
}
_LABELLED: Final = re.compile(r"\s*<[^<>]*>$")
# :ref:`text <target>`
_CODE: Final = frozenset(
    {"code-block", "sourcecode", "code", "prompt", "testcode", "doctest", "parsed-literal", "console"}
)
_LISTS: Final = frozenset(
    {"toctree", "index", "automodule", "autoclass", "autofunction", "literalinclude", "currentmodule", "image"}
)
# what stands in them is for a program
_SKIPPED: Final = (
    nodes.comment,
    nodes.substitution_definition,
    nodes.target,
    nodes.system_message,
    nodes.image,
    nodes.raw,
)


class _Unknown(Directive):  # type: ignore[misc]
    """A directive that only Sphinx knows: code is code, and the rest is read for its text."""

    optional_arguments = 100
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[Any]:
        if self.name in _CODE:
            text = "\n".join(self.content)
            return [nodes.literal_block(text, text)]
        if self.name in _LISTS:
            return []
        container = nodes.container()
        if self.arguments:
            container += nodes.paragraph("", "", nodes.Text(" ".join(self.arguments)))
        if self.content:
            self.state.nested_parse(self.content, self.content_offset, container)
        return [container]


class _Options(dict[str, Any]):
    """Takes any option, as it stands."""

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, _: str) -> Any:
        return str


def _any_directive(name: str, language: Any, document: Any) -> tuple[Any, list[Any]]:
    found, messages = _known_directive(name, language, document)
    return (found, messages) if found is not None and name not in _CODE else (_Unknown, [])


def _any_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = None
) -> tuple[list[Any], list[Any]]:
    shown = _LABELLED.sub("", text).lstrip("~!") or text
    return [nodes.Text(shown)], []


_known_directive = directives.directive
_known_role = roles.role


def _role(name: str, language: Any, lineno: int, reporter: Any) -> tuple[Any, list[Any]]:
    found, messages = _known_role(name, language, lineno, reporter)
    return (found, messages) if found is not None else (_any_role, [])


_Unknown.option_spec = _Options()
directives.directive = _any_directive
roles.role = _role


def read(body: bytes, source: Source) -> Extract:
    """Return a document's text."""
    text = decode(body, source.charset, markup=False)
    tree = publish_doctree(text, settings_overrides=dict(_SETTINGS))
    writer = Writer()
    _blocks(writer, tree, 0)
    return writer.finished(source, hrefs=[each.get("refuri", "") for each in tree.findall(nodes.reference)])


def _blocks(writer: Writer, parent: Any, level: int) -> None:
    for node in parent.children:
        if isinstance(node, _SKIPPED):
            continue
        if isinstance(node, nodes.section):
            _blocks(writer, node, level + 1)
        elif isinstance(node, nodes.title):
            if isinstance(parent, nodes.section):
                writer.heading(level, node.astext())
            else:
                writer.paragraph(f"**{node.astext()}**")
        elif isinstance(node, nodes.literal_block | nodes.doctest_block | nodes.math_block):
            writer.code(node.astext())
        elif isinstance(node, nodes.line_block):
            for line in node.findall(nodes.line):
                writer.paragraph(line.astext())
        elif isinstance(node, nodes.bullet_list | nodes.enumerated_list):
            _list(writer, node, level, 0)
        elif isinstance(node, nodes.definition_list | nodes.field_list | nodes.option_list):
            _terms(writer, node, level)
        elif isinstance(node, nodes.table):
            _table(writer, node)
        elif isinstance(node, nodes.paragraph | nodes.rubric | nodes.attribution | nodes.caption):
            writer.paragraph(_inline(node))
        elif isinstance(node, nodes.footnote | nodes.citation):
            writer.paragraph(" ".join(child.astext() for child in node.children))
        elif isinstance(node, nodes.Element):
            _blocks(writer, node, level)
        elif node.astext().strip():
            writer.paragraph(node.astext())


def _inline(node: Any) -> str:
    return "".join(
        f"`{child.astext()}`" if isinstance(child, nodes.literal) else child.astext()
        for child in node.children
        if not isinstance(child, _SKIPPED)
    )


def _list(writer: Writer, node: Any, level: int, depth: int) -> None:
    numbered = isinstance(node, nodes.enumerated_list)
    for number, item in enumerate(node.children, start=int(node.get("start", 1)) if numbered else 1):
        for index, child in enumerate(item.children):
            if isinstance(child, nodes.bullet_list | nodes.enumerated_list):
                _list(writer, child, level, depth + 1)
            elif isinstance(child, nodes.paragraph) and index == 0:
                writer.item(_inline(child), depth, number if numbered else None)
            elif isinstance(child, nodes.Element) and not isinstance(child, _SKIPPED):
                _blocks(writer, _Alone(child), level)


class _Alone:
    """A node as if it had a parent with nothing else in it."""

    def __init__(self, node: Any) -> None:
        self.children = [node]


def _terms(writer: Writer, node: Any, level: int) -> None:
    for item in node.children:
        names = [
            child.astext()
            for child in item.children
            if isinstance(child, nodes.term | nodes.field_name | nodes.option_group)
        ]
        writer.paragraph(f"**{' '.join(' '.join(names).split())}**" if names else "")
        for child in item.children:
            if isinstance(child, nodes.definition | nodes.field_body | nodes.description):
                _blocks(writer, child, level)


def _table(writer: Writer, node: Any) -> None:
    for title in node.findall(nodes.title):
        writer.paragraph(title.astext())
    writer.table(
        [row for part in node.findall(lambda each: isinstance(each, nodes.thead | nodes.tbody)) for row in _rows(part)]
    )


def _rows(part: Any) -> Iterator[list[str]]:
    """Go through rows, each cell in its column: those under one that reaches down are empty."""
    reaching: dict[int, int] = {}
    for row in part.findall(nodes.row):
        cells: list[str] = []
        for entry in row.children:
            _pass_by(reaching, cells)
            width = int(entry.get("morecols", 0)) + 1
            down = int(entry.get("morerows", 0))
            if down:
                reaching.update(dict.fromkeys(range(len(cells), len(cells) + width), down))
            cells += [entry.astext(), *[""] * (width - 1)]
        _pass_by(reaching, cells)
        yield cells


def _pass_by(reaching: dict[int, int], cells: list[str]) -> None:
    while reaching.get(len(cells), 0):
        reaching[len(cells)] -= 1
        cells.append("")
