"""What a page of a made-up site says: the same for the same site, path and edition, and unlike every other."""

import hashlib
import html
import random
from typing import Final

from standins.sites.graph import CHARSETS, Graph, Node
from standins.sites.plan import Options
from standins.words import WORDS

_SENTENCE_WORDS: Final = 12


def text_of(options: Options, node: Node, edition: int = 0) -> tuple[str, str]:
    """Return a page's title, and its text as HTML: without its links, so that a copy's is the same wherever it links to.

    Parameters
    ----------
    edition
        How often the page has changed.
    """
    name = node.text_of
    chosen = random.Random(f"{options.seed}/{options.host}/{name}/{edition}")  # noqa: S311 - words, not secrets
    title = f"{name.strip('/').replace('/', ' ').title() or 'Home'} of host {options.host}"
    own = CHARSETS.get(node.charset)
    sentences = [f"It says {own} to its readers."] if own else []
    for start in range(0, options.words, _SENTENCE_WORDS):
        words = chosen.choices(WORDS, k=min(_SENTENCE_WORDS, options.words - start))
        sentences.append(f"{' '.join(words).capitalize()} {chosen.randrange(10**6)}.")
    return title, "".join(f"<p>{html.escape(one)}</p>" for one in sentences)


def page_of(options: Options, node: Node, *, edition: int = 0, version: str = "1") -> bytes:
    """Return a page as it is sent."""
    title, text = text_of(options, node, edition)
    robots = ", ".join(word for word, asked in (("nofollow", node.nofollow), ("noindex", node.noindex)) if asked)
    head = [
        f'<meta charset="{node.charset}">',
        f"<title>{html.escape(title)}</title>",
        f'<meta name="generator" content="sites {html.escape(version)}">',
        f'<meta name="robots" content="{robots}">' if robots else "",
        f'<link rel="canonical" href="{node.canonical}">' if node.canonical else "",
        f'<base href="{node.base}">' if node.base else "",
    ]
    links = "".join(
        f'<li><a href="{html.escape(one.href)}"{" rel=nofollow" if one.nofollow else ""}>{html.escape(one.path)}</a></li>'
        for one in node.links
    )
    markup = (
        f'<!doctype html><html lang="en"><head>{"".join(head)}</head><body><nav><ul>{links}</ul></nav>'
        f"<main><h1>{html.escape(title)}</h1>{text}</main></body></html>"
    )
    return markup.encode(node.charset, "xmlcharrefreplace")


def etag_of(body: bytes) -> str:
    """Return the validator of a page's bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'


def changed_paths(graph: Graph, percent: float, round_: int) -> list[str]:
    """Return which ordinary pages a change hits: at least one, the root never, chosen by the seed and the round."""
    options = graph.options
    numbers = range(1, options.pages)
    if not numbers or percent <= 0:
        return []
    count = min(max(round(options.pages * percent / 100), 1), len(numbers))
    chosen = random.Random(f"{options.seed}/{options.host}/change/{round_}")  # noqa: S311 - pages, not secrets
    return sorted(graph.ordinary(number) for number in chosen.sample(numbers, count))
