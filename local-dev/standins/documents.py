"""This project's own documentation, found and rendered: what the demo indexes.

Only files named here are ever read: the README of the repository and of each of its folders, and the pages of
`local-dev/docs`. A page's address is looked up among them and never becomes a path, so nothing else can be asked for.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY: Final = Path(__file__).resolve().parents[2]
README_FOLDERS: Final = (
    "ml-shared",
    "orchestrator",
    "scraper",
    "chunking",
    "embedding",
    "gateway-vm",
    "local-dev",
)
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@dataclass(frozen=True, slots=True)
class Document:
    """One page of documentation.

    Attributes
    ----------
    path
        Its address on the site, such as `/docs/search`.
    title
        Its first heading, without markup.
    source
        The file, absolute.
    text
        Its Markdown.
    """

    path: str
    title: str
    source: Path
    text: str


def _title_of(text: str, default: str) -> str:
    found = re.search(r"^# +(.+?) *#*$", text, re.MULTILINE)
    return found.group(1).replace("`", "") if found else default


def _sources(repository: Path) -> list[tuple[str, Path]]:
    pages = [(f"/docs/{file.stem}", file) for file in sorted((repository / "local-dev" / "docs").glob("*.md"))]
    pages.append(("/readme/project", repository / "README.md"))
    pages.extend((f"/readme/{folder}", repository / folder / "README.md") for folder in README_FOLDERS)
    # a link could lead out of the repository; what it points at is not documentation of ours
    return [(path, file) for path, file in pages if file.is_file() and not file.is_symlink()]


def find_documents(repository: Path = REPOSITORY) -> list[Document]:
    """Return the documentation as it is on disk now, in the order of the site's navigation."""
    documents = []
    for path, file in _sources(repository):
        text = file.read_text(encoding="utf-8")
        documents.append(Document(path, _title_of(text, path.rpartition("/")[2]), file, text))
    return documents


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _address(href: str, document: Document, addresses: Mapping[Path, str]) -> str | None:
    """Return where a link leads within the site, or None: then only its words stay."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return None
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    if not parts.path:
        return fragment or None
    target = (document.source.parent / unquote(parts.path)).resolve()
    for candidate in (target, target / "README.md"):
        if candidate in addresses:
            return addresses[candidate] + fragment
    return None


def _keep_links_inside(tokens: Sequence[Token], document: Document, addresses: Mapping[Path, str]) -> None:
    kept: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            address = _address(str(token.attrGet("href") or ""), document, addresses)
            kept.append(address is not None)
            token.attrs = {} if address is None else {"href": address}
            token.tag = "a" if kept[-1] else "span"
        elif token.type == "link_close":
            token.tag = "a" if kept.pop() else "span"
        elif token.type == "image":
            token.type, token.children = "text", None
            # its content is the alternative text already


def render(document: Document, documents: Sequence[Document]) -> str:
    """Return a document as HTML. Links to other documents lead to their pages; all other links lose their target."""
    addresses = {other.source.resolve(): other.path for other in documents}
    tokens = _MARKDOWN.parse(document.text)
    for position, token in enumerate(tokens):
        if token.type == "inline":
            _keep_links_inside(token.children or [], document, addresses)
        elif token.type == "heading_open":
            token.attrSet("id", _slug(tokens[position + 1].content))
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


def page(title: str, body: str, documents: Sequence[Document]) -> str:
    """Return a whole page: the body in `<main>`, and around it what a real site has and an index should not."""
    links = "\n".join(
        f'<li><a href="{html.escape(other.path)}">{html.escape(other.title)}</a></li>' for other in documents
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(title)} · CloudCIX ML Services</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
</head>
<body>
<header><p><a href="/">CloudCIX ML Services</a>: documentation</p></header>
<nav aria-label="Pages">
<ul>
<li><a href="/docs/start">Start here</a></li>
{links}
</ul>
</nav>
<main>
{body}</main>
<footer>
<p><a href="/files/brochure.pdf">Brochure</a> · <a href="/files/picture.png">Picture</a> · <a href="/docs/retired">Old release notes</a> ·
<a href="/private/plans">Plans</a> · Served for the demo from this machine only.</p>
</footer>
</body>
</html>
"""
