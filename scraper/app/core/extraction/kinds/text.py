"""Plain text and Markdown, as they are."""

import re
from typing import Final

from app.core.errors import EmptyContentError
from app.core.extraction import verdicts
from app.core.extraction.charset import decode
from app.core.extraction.kinds import MARKDOWN, Source
from app.core.extraction.links import links_of, markdown_hrefs
from app.core.extraction.result import Extract

_ATX_TITLE: Final = re.compile(r"^# +(.+?)(?: +#+)? *$", re.MULTILINE)
_WORD: Final = re.compile(r"\w")
_TITLE_MAX_CHARACTERS: Final = 500


def read(body: bytes, source: Source) -> Extract:
    """Return a text."""
    text = decode(body, source.charset, markup=False)
    if not _WORD.search(text):
        raise EmptyContentError("the page holds no text")
    is_marked = source.media_type == MARKDOWN
    title = _ATX_TITLE.search(text) if is_marked else None
    links = links_of(markdown_hrefs(text) if is_marked else (), source.url)
    return Extract(
        text.strip("\n"),
        title=title[1][:_TITLE_MAX_CHARACTERS] if title else None,
        links=links.all,
        nofollow_links=links.nofollow,
        links_left_out=links.left_out,
        links_too_long=links.too_long,
        media_type=source.media_type,
        method="plain text",
        kept_share=1.0,
        warnings=verdicts.warnings_of_text(text),
    )
