"""A page's bytes in, Markdown and metadata out.

This runs in a process of its own (`worker`), because what strangers write can keep a parser busy for minutes
and fill a gigabyte. Here only depth is bounded; bytes were when the page was fetched, time and memory are by the
process.
"""

from dataclasses import replace

from app.core.errors import EncryptedError, PageTooLargeError
from app.core.extraction import kinds, sniffing
from app.core.extraction.kinds import pages  # noqa: F401 - imported while the first page is still being fetched
from app.core.extraction.result import Extract
from ml_shared.contracts.chunking import MAX_TEXT_CHARACTERS
from ml_shared.contracts.scraping import ExtractionWarning


def extract(
    body: bytes, *, url: str, media_type: str, charset: str | None, refresh: str | None = None, agent: str = ""
) -> Extract:
    """Turn a page into text.

    Parameters
    ----------
    body
        Decoded from its Content-Encoding, not yet from its character set.
    url
        What links are relative to; the end of its path tells kinds of text apart where the header does not.
    media_type
        What the Content-Type header says; empty if there is none.
    charset
        What the Content-Type header declares.
    refresh
        The header of that name.
    agent
        The name that a page may address us by in its rules for robots.

    Raises
    ------
    ChallengePageError, LoginRequiredError
        If something else came in the page's place.
    EmptyContentError, NoTextLayerError
        If there is no text, or none but in pictures.
    EncryptedError
        If it takes a password to read it.
    ExtractionError
        If the page is nested too deeply, or damaged.
    PageTooLargeError
        If its text is longer than what can be split into chunks (a table's spans make megabytes of a few bytes), or
        what it unpacks to than what is unpacked.
    UnsupportedContentTypeError
        If the bytes are something else than what there is a reader for.
    """
    kind = sniffing.kind_of(body, media_type, charset, url)
    if kind is sniffing.OLE and kinds.canonical(media_type) in sniffing.PACKAGES:
        raise EncryptedError("the document is encrypted")  # an archive goes into such a container with its password
    read = kinds.reader_of(kind.media_type)
    if read is None:
        raise sniffing.unsupported(kind, media_type)
    found = read(body, kinds.Source(url, kind.media_type, charset, refresh, agent))
    if len(found.content) > MAX_TEXT_CHARACTERS:
        raise PageTooLargeError(f"the page's text is longer than {MAX_TEXT_CHARACTERS} characters")
    if not sniffing.agrees(media_type, kind):
        return replace(found, warnings=[*found.warnings, ExtractionWarning.WRONG_CONTENT_TYPE])
    return found
