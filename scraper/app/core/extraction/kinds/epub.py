"""EPUB: chapters in the order of its spine, each as a page of HTML without furniture.

Of a book of which some chapters are encrypted, or missing from its archive, the others are read, with a warning.
"""

import posixpath
from typing import Any, Final
from urllib.parse import unquote

from app.core.errors import EmptyContentError, EncryptedError, ExtractionError, PageTooLargeError
from app.core.extraction.charset import decode
from app.core.extraction.cleaning import body_of, clean
from app.core.extraction.conversion import to_markdown
from app.core.extraction.kinds import Source
from app.core.extraction.kinds.pages import parsed
from app.core.extraction.markup import local
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer
from ml_shared.contracts.scraping import ExtractionWarning

CHAPTERS_MAX: Final = 2_000
_CHAPTERS: Final = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})


def read(body: bytes, source: Source) -> Extract:
    """Return a book's text."""
    package = Package(body)
    container = package.tree("META-INF/container.xml")
    main = next(
        (each.get("full-path", "") for each in container.iter() if local(each) == "rootfile")
        if container is not None
        else iter(()),
        "",
    )
    tree = package.tree(main)
    if tree is None:
        raise ExtractionError("the book is damaged: its list of chapters is missing")
    locked = _encrypted(package)
    chapters = _chapters(tree, posixpath.dirname(main))
    if len(chapters) > CHAPTERS_MAX:
        raise PageTooLargeError(f"the book has {len(chapters)} chapters; at most {CHAPTERS_MAX} are read")
    if chapters and all(name in locked for name in chapters):
        raise EncryptedError("the book is encrypted")
    writer = Writer()
    hrefs: list[str] = []
    left_out = 0
    for name in chapters:
        text = package.read(name) if name not in locked else None
        if text is not None:
            chapter, links = _chapter(text)
            writer.markdown(chapter)
            hrefs += links
        else:
            left_out += 1
    said = {local(each): (each.text or "").strip() for each in reversed(list(tree.iter()))}
    try:
        found = writer.finished(
            source,
            hrefs=hrefs,
            title=said.get("title") or None,
            author=said.get("creator", "")[:500] or None,
            language=said.get("language", "")[:35] or None,
        )
    except EmptyContentError as error:
        if locked.isdisjoint(chapters):
            raise
        raise EncryptedError("the book is encrypted") from error  # but for its cover
    if left_out:
        found.warnings.append(ExtractionWarning.INCOMPLETE.value)
        found.kept_share = round(1 - left_out / len(chapters), 3)
    return found


def _chapters(tree: Any, folder: str) -> list[str]:
    """Return the names of the parts in the spine's order, but for the list of contents."""
    items = {each.get("id", ""): each for each in tree.iter() if local(each) == "item"}
    found = []
    for reference in (each for each in tree.iter() if local(each) == "itemref"):
        item = items.get(reference.get("idref", ""))
        if item is None or item.get("media-type") not in _CHAPTERS or "nav" in (item.get("properties") or "").split():
            continue
        found.append(posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "")))))
    return list(dict.fromkeys(found))


def _encrypted(package: Package) -> frozenset[str]:
    """Return which parts are; fonts often are, and nothing else of a book."""
    tree = package.tree("META-INF/encryption.xml")
    references = (each for each in tree.iter() if local(each) == "CipherReference") if tree is not None else ()
    return frozenset(posixpath.normpath(unquote(each.get("URI", "")).lstrip("/")) for each in references)


def _chapter(text: bytes) -> tuple[str, list[str]]:
    """Return a chapter's text, and where it leads out of the book."""
    try:
        tree = parsed(decode(text, None, markup=True))
    except EmptyContentError:
        return "", []
    content = body_of(tree)
    clean(content)
    for menu in list(content.iter("nav")):
        if menu.getparent() is not None:
            menu.drop_tree()
    links = [each.get("href") for each in content.iterfind(".//a[@href]")]
    return to_markdown(content), [link for link in links if "://" in link]
