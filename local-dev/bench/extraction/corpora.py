"""Where the pages come from.

`articles`: the pages of Mozilla's readability tests (github.com/mozilla/readability, `test/test-pages`, Apache-2.0) with
their expected text, from an archive or a folder that `READABILITY_PAGES` or `--readability` names. They are not ours to
pass on: nothing of them is kept. `own`: pages of our own making, in `scraper/tests/extraction_pages`. `documentation` is
Debian's packages (`documentation.py`). `documents` are files that are no HTML (`files.py`).
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from chores.folders import REPOSITORY

from bench.extraction import documentation, files
from bench.extraction.pages import DROP, KEEP, Page
from ml_shared.testing.binaries import BinaryMissingError

ARTICLES, OWN = "articles", "own"
CORPORA = (ARTICLES, documentation.CORPUS, OWN, files.CORPUS)
FILES = documentation.CACHE.parent / "documents"
OWN_PAGES = REPOSITORY / "scraper" / "tests" / "extraction_pages"
_MARKS = re.compile(rf"\s(?:{KEEP}|{DROP})(?=[\s>])")


def pages_of(wanted: Sequence[str], readability: Path | None) -> list[Page]:
    """Return the pages of the corpora that are wanted and there, and say which one is not."""
    pages: list[Page] = []
    if ARTICLES in wanted and readability is not None and readability.exists():
        pages += articles(readability)
    elif ARTICLES in wanted:
        missing = f"{readability} is not there" if readability else "READABILITY_PAGES=… names their archive or folder"
        print(f"No articles, which are Mozilla's readability test pages: {missing}.")
    if documentation.CORPUS in wanted:
        try:
            pages += documentation.documentation()
        except BinaryMissingError as error:
            print(f"No documentation: {error}")
    if OWN in wanted:
        pages += own()
    return pages + (files.pages(FILES) if files.CORPUS in wanted else [])


def articles(source: Path) -> list[Page]:
    """Return the pages of Mozilla's tests, from their archive or from the folder that it was unpacked to."""
    files: dict[str, dict[str, bytes]] = {}
    for path, body in _archived(source) if source.is_file() else _unpacked(source):
        files.setdefault(path.parent.name, {})[path.name] = body
    return [
        # Readability makes every h1 an h2
        Page(f"{ARTICLES}/{name}", found["source.html"], found["expected.html"], ("//body",), levels=False)
        for name, found in sorted(files.items())
        if {"source.html", "expected.html"} <= found.keys()
    ]


def _archived(source: Path) -> Iterator[tuple[Path, bytes]]:
    with tarfile.open(source) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".html") else None
            if content is not None:
                yield Path(member.name), content.read()


def _unpacked(source: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(source.rglob("*.html")):
        yield path, path.read_bytes()


def own(folder: Path = OWN_PAGES) -> list[Page]:
    """Return our own pages; the marks that say what is text and what furniture are not in what extractors get."""
    return [
        Page(
            f"{OWN}/{path.stem}",
            _MARKS.sub("", path.read_text("utf-8")).encode(),
            path.read_bytes(),
            (f"//*[@{KEEP}]",),
            without=f".//*[@{DROP} or @aria-hidden='true'] | .//a[contains(@class, 'hash-link')]",
        )
        for path in sorted(folder.glob("*.html"))
    ]
