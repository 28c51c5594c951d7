"""JSON and XML: names are headings as deep as headings go, records alike are tables, the rest are lists of "name: value".

Every name that leads to a value is in the text: what a member calls itself ("title: Port") stands beside its name, and only an
entry of a list, which has none, is called by that alone. Numbers are as they are written.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from app.core.errors import ExtractionError
from app.core.extraction.charset import decode
from app.core.extraction.kinds import JSON, Source
from app.core.extraction.markup import local, xml_tree
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_HEADINGS_MAX: Final = 6
_DEPTH_MAX: Final = 100
# of elements; libxml2's own bound is 256
_TABLE_COLUMNS_MAX: Final = 20
_CELL_MAX_CHARACTERS: Final = 200
# a record that tells more is a section
_TITLES: Final = ("title", "name", "label", "headline")
# what a record is called by, where it calls itself something
_TITLE_MAX_CHARACTERS: Final = 200
_WORD: Final = re.compile(r"\w")
_LONG_DIGITS: Final = 19
_INEXACT: Final = re.compile(r"\d{19}|\d\.\d|\d[eE][-+\d]")
# numbers that may have lost digits, or changed their form, when they have become numbers of a program


def read(body: bytes, source: Source) -> Extract:
    """Return data as text."""
    writer = Writer()
    if source.media_type == JSON:
        value = _parsed(body, source)
        title = value.get("title") if isinstance(value, dict) else None
    else:
        tree = xml_tree(body)
        value, title = {local(tree): _value(tree, 0)}, None
    _write(writer, value, [], 1)
    return writer.finished(source, title=title if isinstance(title, str) else None)


def _parsed(body: bytes, source: Source) -> Any:
    text = decode(body, source.charset or "utf-8", markup=False)
    try:
        return _loaded(text)
    except orjson.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            if len(lines) > 1:
                return [_loaded(line) for line in lines]  # a record a line
        except orjson.JSONDecodeError:
            pass
        raise ExtractionError(f"the page is no JSON: {error.msg} at line {error.lineno}") from error


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _loaded(text: str) -> Any:
    value = orjson.loads(text)  # by whose rules it is JSON or not
    if not _INEXACT.search(text):
        return value
    try:
        return json.loads(text, parse_int=_whole, parse_float=_Number)
    except RecursionError:  # it counts to fewer
        return value


def _whole(written: str) -> Any:
    return int(written) if len(written) < _LONG_DIGITS else _Number(written)


def _value(element: Any, depth: int) -> Any:
    """Return an element as JSON would have it; of text with elements amid it, the text."""
    if depth > _DEPTH_MAX:
        raise ExtractionError(f"the document's elements are nested more than {_DEPTH_MAX} deep")
    children = [child for child in element if isinstance(child.tag, str)]
    if not children and not element.attrib:
        return " ".join("".join(element.itertext()).split())
    mixed = (element.text or "").strip() or any((child.tail or "").strip() for child in children)
    if mixed and children:
        return " ".join(" ".join(element.itertext()).split())
    several: dict[str, list[Any]] = {}
    for key, value in element.attrib.items():
        several.setdefault(key.rpartition("}")[2], []).append(value)
    for child in children:  # one may be called as an attribute is
        several.setdefault(local(child), []).append(_value(child, depth + 1))
    fields = {name: values[0] if len(values) == 1 else values for name, values in several.items()}
    text = "" if children else " ".join((element.text or "").split())
    return {**fields, "": text} if text else fields


def _write(writer: Writer, value: Any, path: Sequence[str], level: int) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if _is_plain(inner):
                _field(writer, str(name), inner)
        for name, inner in value.items():
            if not _is_plain(inner):
                _section(writer, inner, [*path, str(name)], _member(inner, str(name), path), level)
    elif isinstance(value, list):
        _list(writer, value, path, level)
    else:
        writer.paragraph(_text(value))


def _section(writer: Writer, value: Any, path: Sequence[str], heading: str, level: int) -> None:
    if level > _HEADINGS_MAX:
        writer.item(f"{' › '.join(path[_HEADINGS_MAX:])}: {_text(value)}")
        return
    writer.heading(level, heading)
    _write(writer, value, path, level + 1)


def _member(value: Any, name: str, path: Sequence[str]) -> str:
    """Return the heading of a member: its name, and what it calls itself if that says more."""
    if not _WORD.search(name):  # "/", which alone is no heading
        name = f"{next((above for above in reversed(path) if _WORD.search(above)), 'Entry')} › {name}"
    called = _called(value)
    return name if called is None or called.strip().casefold() == name.strip().casefold() else f"{name}: {called}"


def _list(writer: Writer, values: Sequence[Any], path: Sequence[str], level: int) -> None:
    columns = _columns(values)
    if columns:
        writer.table([columns, *([_text(row.get(name)) for name in columns] for row in values)])
        return
    for index, value in enumerate(values, start=1):
        if _is_plain(value):
            writer.item(_text(value))
        else:
            name = f"{path[-1] if path else 'Entry'} {index}"
            _section(writer, value, [*path, name], _called(value) or name, level)


def _columns(values: Sequence[Any]) -> list[str]:
    """Return what all records tell of, if they are records with as good as the same plain fields."""
    if len(values) < 2 or not all(isinstance(value, Mapping) and value for value in values):
        return []
    names = dict.fromkeys(name for value in values for name in value)
    if len(names) > _TABLE_COLUMNS_MAX or not all(_is_plain(inner) for value in values for inner in value.values()):
        return []
    if any(len(_text(inner)) > _CELL_MAX_CHARACTERS for value in values for inner in value.values()):
        return []
    filled = sum(len(value) for value in values)
    return list(names) if filled * 2 >= len(names) * len(values) else []


def _called(value: Any) -> str | None:
    named = (value.get(name) for name in _TITLES) if isinstance(value, Mapping) else iter(())
    texts = map(_text, filter(_is_plain, named))
    return next((text for text in texts if _WORD.search(text) and len(text) <= _TITLE_MAX_CHARACTERS), None)


def _field(writer: Writer, name: str, value: Any) -> None:
    text = _text(value)
    if text and name:
        writer.item(f"{name}: {text}")
    elif text:
        writer.paragraph(text)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return (
            bool(value)
            and len(value) <= 20
            and all(isinstance(one, str | int | float) and len(str(one)) <= 60 for one in value)
        )
    return not isinstance(value, Mapping)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and _is_plain(value):
        return ", ".join(map(_text, value))
    return orjson.dumps(value, _fragment, orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


def _fragment(number: _Number) -> orjson.Fragment:
    return orjson.Fragment(number.encode())
