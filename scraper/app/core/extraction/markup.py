"""XML that strangers wrote: no entity is resolved, nothing is loaded, depth and length of texts are libxml2's."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from lxml import etree

from app.core.errors import ExtractionError

_OPTIONS: Final = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
_DECLARED: Final = re.compile(rb"<!ENTITY", re.IGNORECASE)


def xml_tree(data: bytes) -> Any:
    """Return the outermost element of a document.

    Raises
    ------
    ExtractionError
        If it is no XML, or declares entities: what they stand for would be missing from the text.
    """
    if _DECLARED.search(data[:65_536]):
        raise ExtractionError("the document declares entities of its own, which are not resolved")
    parser = etree.XMLParser(remove_comments=True, remove_pis=True, **_OPTIONS)
    try:
        tree = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ExtractionError(
            f"the document's XML is damaged: {error.msg[:200] if error.msg else 'no element'}"
        ) from error
    if tree is None:
        raise ExtractionError("the document's XML is damaged: no element")
    return tree


def xml_elements(data: bytes, tag: str) -> Iterator[Any]:
    """Go through a document's elements of a name, and forget each when the next is asked for.

    Raises
    ------
    ExtractionError
        If it is no XML.
    """
    try:
        for _, element in etree.iterparse(BytesIO(data), tag=tag, remove_comments=True, remove_pis=True, **_OPTIONS):
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise ExtractionError(f"the document's XML is damaged: {error.msg[:200] if error.msg else ''}") from error


def local(element: Any) -> str:
    """Return an element's name without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Any, name: str) -> str | None:
    """Return an attribute by its name, whatever its namespace."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None
