"""PPTX: a slide is a section under its title; its notes come after it; formulas are in a line.

Lost: pictures, charts, drawings of SmartArt, comments, hidden slides.
"""

from collections.abc import Iterator
from typing import Any, Final

from app.core.errors import ExtractionError, PageTooLargeError
from app.core.extraction.kinds import Source, formulas
from app.core.extraction.kinds.office import addresses, core_properties, relations, targets
from app.core.extraction.markup import attribute, local
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

SLIDES_MAX: Final = 2_000
_TITLES: Final = frozenset({"title", "ctrTitle"})
_FURNITURE: Final = frozenset({"ftr", "sldNum", "dt", "hdr"})
_DEPTH_MAX: Final = 40
# of groups in groups, and of formulas


def read(body: bytes, source: Source) -> Extract:
    """Return a presentation's text."""
    package = Package(body)
    main = next((at for kind, at in relations(package, "") if kind == "officeDocument"), "ppt/presentation.xml")
    tree = package.tree(main)
    if tree is None:
        raise ExtractionError("the presentation is damaged: its list of slides is missing")
    places = targets(package, main)
    writer = Writer()
    hrefs: list[str] = []
    slides = [
        places.get(attribute_id) for each in tree.iter() if local(each) == "sldId" for attribute_id in [_id(each)]
    ]
    if len(slides) > SLIDES_MAX:
        raise PageTooLargeError(f"the presentation has {len(slides)} slides; at most {SLIDES_MAX} are read")
    for number, name in enumerate(slides, start=1):
        slide = package.tree(name) if name else None
        if slide is not None and slide.get("show") not in ("0", "false"):
            writer.page(number)
            _slide(writer, slide, number)
            _notes(writer, package, name or "")
            known = addresses(package, name or "")
            hrefs += [known.get(_id(each), "") for each in slide.iter() if local(each) == "hlinkClick"]
    return writer.finished(source, hrefs=hrefs, **core_properties(package))


def _id(element: Any) -> str:
    """Return the id of a relation; the slide's own has the same name without a namespace."""
    return next((str(value) for key, value in element.attrib.items() if key.endswith("}id")), "")


def _slide(writer: Writer, slide: Any, number: int) -> None:
    shapes = list(_shapes(slide, 0))
    titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
    title = " ".join(" ".join(text for _, _, text in _paragraphs(shape)) for shape in titles).strip()
    writer.heading(2, title or f"Slide {number}")
    for shape in sorted((each for each in shapes if each not in titles), key=_place):
        if _placeholder(shape) in _FURNITURE:
            continue
        for table in (each for each in shape.iter() if local(each) == "tbl"):
            writer.table([[_cell(cell) for cell in row if local(cell) == "tc"] for row in table if local(row) == "tr"])
        if local(shape) == "sp":
            _text(writer, shape)


def _text(writer: Writer, shape: Any) -> None:
    paragraphs = [one for one in _paragraphs(shape) if one[2].strip()]
    body = _placeholder(shape) in ("body", "obj", "")
    for depth, bullet, text in paragraphs:
        if bullet is True or (bullet is None and body and len(paragraphs) > 1) or depth:
            writer.item(text, depth)
        else:
            writer.paragraph(text)


def _notes(writer: Writer, package: Package, name: str) -> None:
    at = next((target for kind, target in relations(package, name) if kind == "notesSlide"), None)
    notes = package.tree(at) if at else None
    if notes is None:
        return
    texts = [
        text
        for shape in _shapes(notes, 0)
        if _placeholder(shape) == "body"
        for _, _, text in _paragraphs(shape)
        if text.strip()
    ]
    for index, text in enumerate(texts):
        writer.paragraph(f"Notes: {text}" if index == 0 else text)


def _shapes(slide: Any, depth: int) -> Iterator[Any]:
    """Go through a slide's shapes, those in groups among them."""
    if depth > _DEPTH_MAX:
        raise ExtractionError(f"the presentation's groups are nested more than {_DEPTH_MAX} deep")
    for element in slide:
        name = local(element)
        if name in ("sp", "graphicFrame"):
            yield element
        elif name in ("cSld", "spTree", "grpSp", "AlternateContent", "Choice"):
            yield from _shapes(element, depth + 1)


def _placeholder(shape: Any) -> str | None:
    """Return what a shape stands for in its slide's layout; `None` if nothing, "" if it does not say."""
    for element in shape:
        if local(element) in ("nvSpPr", "nvGraphicFramePr"):
            for inner in element.iter():
                if local(inner) == "ph":
                    return str(inner.get("type", ""))
    return None


def _place(shape: Any) -> tuple[int, int, int]:
    """Return what orders shapes as they are read: placeholders as they stand there, others by where they are."""
    if _placeholder(shape) is not None:
        return (0, 0, 0)
    for element in shape.iter():
        if local(element) == "off":
            return (1, _number(element.get("y")), _number(element.get("x")))
    return (1, 0, 0)


def _number(text: str | None) -> int:
    try:
        return int(text or "0")
    except ValueError:
        return 0


def _paragraphs(shape: Any) -> Iterator[tuple[int, bool | None, str]]:
    """Go through a shape's paragraphs: depth, whether it has a bullet (`None` where the layout says), text."""
    for body in shape:
        if local(body) == "txBody":
            for paragraph in body:
                if local(paragraph) == "p":
                    yield _paragraph(paragraph)


def _paragraph(paragraph: Any) -> tuple[int, bool | None, str]:
    depth, bullet, parts = 0, None, []
    for element in paragraph:
        name = local(element)
        if name == "pPr":
            depth = _number(element.get("lvl"))
            marks = {local(inner) for inner in element}
            bullet = False if "buNone" in marks else True if marks & {"buChar", "buAutoNum"} else None
        elif name in ("r", "fld"):
            parts += [inner.text or "" for inner in element if local(inner) == "t"]
        elif name == "br":
            parts.append(" ")
        elif name == "m":
            parts.append(_formula(element, 0))
    return depth, bullet, "".join(parts)


def _formula(element: Any, depth: int) -> str:
    if depth > _DEPTH_MAX:
        raise ExtractionError(f"the presentation's formulas are nested more than {_DEPTH_MAX} deep")
    if formulas.is_structure(element):
        return formulas.linear(element, lambda part: _formula(part, depth + 1))
    if local(element) == "t":
        return element.text or ""
    return "".join(_formula(inner, depth + 1) for inner in element if not local(inner).endswith("Pr"))


def _cell(cell: Any) -> str:
    return " ".join(text for _, _, text in _paragraphs(cell)).strip() if not attribute(cell, "hMerge") else ""
