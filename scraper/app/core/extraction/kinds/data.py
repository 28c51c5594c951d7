"""JSON and XML: names are headings as deep as headings go, records alike are tables, the rest are lists of "name: value"."""

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
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            if len(lines) > 1:
                return [orjson.loads(line) for line in lines]  # a record a line
        except orjson.JSONDecodeError:
            pass
        raise ExtractionError(f"the page is no JSON: {error.msg} at line {error.lineno}") from error


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
    fields: dict[str, Any] = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    if not children:
        text = " ".join((element.text or "").split())
        return {**fields, "": text} if text else fields
    several: dict[str, list[Any]] = {}
    for child in children:
        several.setdefault(local(child), []).append(_value(child, depth + 1))
    fields.update({name: values[0] if len(values) == 1 else values for name, values in several.items()})
    return fields


def _write(writer: Writer, value: Any, path: Sequence[str], level: int) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if _is_plain(inner):
                _field(writer, str(name), inner)
        for name, inner in value.items():
            if not _is_plain(inner):
                _section(writer, inner, [*path, str(name)], level)
    elif isinstance(value, list):
        _list(writer, value, path, level)
    else:
        writer.paragraph(_text(value))


def _section(writer: Writer, value: Any, path: Sequence[str], level: int) -> None:
    if level > _HEADINGS_MAX:
        writer.item(f"{' › '.join(path[_HEADINGS_MAX:])}: {_text(value)}")
        return
    writer.heading(level, _called(value) or path[-1])
    _write(writer, value, path, level + 1)


def _list(writer: Writer, values: Sequence[Any], path: Sequence[str], level: int) -> None:
    columns = _columns(values)
    if columns:
        writer.table([columns, *([_text(row.get(name)) for name in columns] for row in values)])
        return
    for index, value in enumerate(values, start=1):
        if _is_plain(value):
            writer.item(_text(value))
        else:
            _section(writer, value, [*path, f"{path[-1] if path else 'Entry'} {index}"], level)


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
    return next((text for text in map(_text, filter(_is_plain, named)) if text and len(text) <= 200), None)


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
    return orjson.dumps(value).decode()
