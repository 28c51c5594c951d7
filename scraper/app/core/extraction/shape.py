"""How a page looks to who has no JavaScript: its blocks of text, what is furniture, and its forms."""

import re
from dataclasses import dataclass, field
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

LONG_WORDS: Final = 400
# a page whose own text is longer is a page, whatever it says: nobody looks further
BLOCKS_MAX: Final = 400
_BLOCK_MAX_CHARACTERS: Final = 600
_WORD: Final = re.compile(r"\w+")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_CHARACTERS_A_WORD: Final = 2
# in scripts that put no blanks between words, about
_INVISIBLE: Final = frozenset(
    {"script", "style", "template", "head", "title", "svg", "iframe", "object", "canvas", "audio", "video", "select"}
    | {"datalist", "textarea", "noframes"}
)
_INLINE: Final = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font",
        "i", "ins", "kbd", "label", "mark", "math", "q", "ruby", "rt", "rp", "s", "samp", "small", "span",
        "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
    }
)  # fmt: skip
_BETWEEN: Final = _INLINE | _INVISIBLE
# what does not end a block
_LANDMARKS: Final = frozenset({"nav", "footer", "aside", "dialog", "menu"})
_ROLES: Final = frozenset(
    {"navigation", "banner", "contentinfo", "complementary", "search", "dialog", "menu", "menubar"}
)
_NAMES: Final = frozenset(
    {
        "nav", "navbar", "navigation", "main-menu", "header", "site-header", "page-header", "topbar",
        "footer", "site-footer", "page-footer", "breadcrumb", "breadcrumbs", "skip-link",
        "skip-to-content", "cookie", "cookies", "cookie-banner", "cookie-notice", "cookie-consent", "cookiebar",
        "gdpr", "onetrust-banner-sdk", "onetrust-consent-sdk", "cybotcookiebotdialog", "copyright",
    }
)  # fmt: skip
_UNDISPLAYED: Final = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_TYPED: Final = frozenset({"text", "email", "tel", "url", "search", "number", "date", ""})


def words(text: str) -> int:
    """Return how many words a text has; of scripts that do not part them, about."""
    spaced = sum(1 for _ in _WORD.finditer(text))
    if text.isascii():
        return spaced
    unspaced = len(_UNSPACED.findall(text))
    return spaced + unspaced // _CHARACTERS_A_WORD


@dataclass(slots=True)
class Block:
    """A paragraph, a heading, a list's entry: what stands by itself.

    Attributes
    ----------
    furniture
        Whether it is in the page's head, foot, menus or banners.
    hidden
        Whether it is not shown as the page stands.
    noscript
        Whether it is shown to readers without JavaScript alone.
    linked
        Whether all of it is links.
    form
        The form that it is in, if it is in one.
    """

    text: str
    words: int
    furniture: bool
    hidden: bool
    noscript: bool
    linked: bool
    form: HtmlElement | None


@dataclass(slots=True)
class Shape:
    """A page as it looks.

    Attributes
    ----------
    blocks
        In order; of a long page the first ones.
    shown_words
        What a reader sees, furniture included.
    own_words
        What they see of it that is not furniture.
    hidden_words
        What is there and not shown.
    passwords
        The forms that ask for one, outside of the furniture; `None` for one that is in no form.
    typed_fields
        How many fields there are to write into.
    """

    blocks: list[Block] = field(default_factory=list)
    shown_words: int = 0
    own_words: int = 0
    hidden_words: int = 0
    passwords: list[HtmlElement | None] = field(default_factory=list)
    typed_fields: int = 0

    @property
    def own(self) -> list[Block]:
        """What is neither furniture nor hidden."""
        return [block for block in self.blocks if not (block.furniture or block.hidden or block.noscript)]


@dataclass(slots=True)
class _Context:
    """What an element inherits."""

    furniture: bool = False
    hidden: bool = False
    noscript: bool = False
    linked: bool = False
    in_text: bool = False
    form: HtmlElement | None = None


def shape_of(tree: HtmlElement) -> Shape:
    """Look at a page, in one walk over its elements that ends where it has shown to be a page: figures are of so much."""
    shape, pending = Shape(), _Pending()
    contexts = [_Context()]
    walk = etree.iterwalk(tree, events=("start", "end"))
    for event, element in walk:
        if shape.own_words > LONG_WORDS:
            break
        tag = element.tag
        if event == "start":
            if tag in _INVISIBLE:
                walk.skip_subtree()
                contexts.append(contexts[-1])
                continue
            above = contexts[-1]
            context = _context(above, element, tag)
            contexts.append(context)
            if tag not in _BETWEEN or context.hidden != above.hidden:
                pending.close(shape, above)
            if tag == "input":
                _note_field(shape, element, context)
            if element.text:
                pending.add(element.text, context)
        else:
            context = contexts.pop()
            if tag not in _BETWEEN or context.hidden != contexts[-1].hidden:
                pending.close(shape, context)
            if element.tail and len(contexts) > 1:
                pending.add(element.tail, contexts[-1])
    return shape


def _context(above: _Context, element: HtmlElement, tag: str) -> _Context:
    attributes = element.attrib
    if not attributes and tag not in ("a", "button", "form", "noscript", "main", "article", "header", *_LANDMARKS):
        return above
    return _Context(
        furniture=above.furniture
        or (tag not in ("html", "body", "main", "article") and _is_furniture(element, tag, above)),
        hidden=above.hidden or "hidden" in attributes or bool(_UNDISPLAYED.search(attributes.get("style", ""))),
        noscript=above.noscript or tag == "noscript",
        linked=above.linked or tag in ("a", "button"),
        in_text=above.in_text or tag in ("main", "article"),
        form=element if tag == "form" else above.form,
    )


def _is_furniture(element: HtmlElement, tag: str, above: _Context) -> bool:
    if tag in _LANDMARKS or element.get("role") in _ROLES:
        return True
    if above.in_text:  # an article has a header of its own
        return False
    if tag == "header":
        return True
    names = f"{element.get('class', '')} {element.get('id', '')}".lower()
    return names != " " and not _NAMES.isdisjoint(names.split())


def _note_field(shape: Shape, element: HtmlElement, context: _Context) -> None:
    kind = element.get("type", "").lower()
    if kind == "password" and not (context.furniture or context.hidden):
        shape.passwords.append(context.form)
    elif kind in _TYPED and not context.hidden:
        shape.typed_fields += 1


class _Pending:
    """The block that the walk is in."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._linked = True

    def add(self, text: str, context: _Context) -> None:
        self._texts.append(text)
        self._linked = self._linked and (context.linked or not text.strip())

    def close(self, shape: Shape, context: _Context) -> None:
        if not self._texts:
            return
        text = " ".join("".join(self._texts).split())
        linked, self._texts, self._linked = self._linked, [], True
        count = words(text)
        if not count:
            return
        if context.hidden:
            shape.hidden_words += count
        elif not context.noscript:
            shape.shown_words += count
            shape.own_words += 0 if context.furniture else count
        if len(shape.blocks) < BLOCKS_MAX:
            flags = (context.furniture, context.hidden, context.noscript, linked, context.form)
            shape.blocks.append(Block(text[:_BLOCK_MAX_CHARACTERS], count, *flags))
