"""The corpora that are searched: pages, as the scraper's extraction and chunking make passages of them."""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final, ParamSpec, TypeVar

from standins.documents import find_documents, page, render
from standins.weights import tokenizer_file

from bench.extraction import documentation
from bench.extraction.documentation import Package
from bench.quality.models import MINILM, NANO_E5, Model
from bench.quality.questions import Place
from bench.services import import_from
from ml_shared.contracts.chunking import Chunk, ChunkRequest

_P = ParamSpec("_P")
_T = TypeVar("_T")

SITE: Final = "https://docs.example"
_OTHER_LANGUAGES: Final = re.compile(r"/(fr|ja|zh-cn)/|\.(fr|de|ja|pl|sr)\.html$")
_ASKED_LANGUAGES: Final = re.compile(r"/fr/|\.(fr|de)\.html$")
MULTILINGUAL_PACKAGES: Final = tuple(
    Package(f"debian-reference-{language}", "DocBook XSL", ("//body",), only=rf"/({chapters})\.{language}\.html$")
    for language, chapters in (
        ("de", "ch04|ch05"),
        ("fr", "ch03|ch08"),
        ("es", "ch06|ch11"),
        ("zh-cn", "ch07|ch10"),
    )
)
"""Each language has chapters of its own: the same one in two languages would answer a question twice."""


@dataclass(frozen=True)
class Source:
    """A page as it is published. `name` is what questions call it."""

    name: str
    body: bytes

    @property
    def url(self) -> str:
        """What it is indexed as."""
        return f"{SITE}/{self.name.removeprefix('/')}"


@dataclass(frozen=True)
class Page:
    """A page as it is indexed."""

    name: str
    url: str
    title: str | None
    language: str | None
    text: str
    chunks: list[Chunk]

    @property
    def places(self) -> list[Place]:
        """Where its chunks stand."""
        return [Place(self.name, chunk.start, chunk.end) for chunk in self.chunks]


@dataclass(frozen=True)
class Corpus:
    """What is searched together, with which model, and the sets of questions about it."""

    name: str
    model: Model
    sets: tuple[str, ...]

    def sources(self) -> list[Source]:
        """Return its pages as they are published.

        Raises
        ------
        BinaryMissingError
            If a Debian package is neither here nor to be had.
        """
        if self.name == "project":
            return own_documentation()
        if self.name == "documentation":
            return [found for found in _debian(documentation.PACKAGES) if not _OTHER_LANGUAGES.search(found.name)]
        others = [found for found in _debian(documentation.PACKAGES) if _ASKED_LANGUAGES.search(found.name)]
        return others + _debian(MULTILINGUAL_PACKAGES)


CORPORA: Final = (
    Corpus("project", MINILM, ("project",)),
    Corpus("documentation", MINILM, ("documentation", "identifiers")),
    Corpus("multilingual", NANO_E5, ("multilingual",)),
)
SETS: Final = tuple(name for corpus in CORPORA for name in corpus.sets)


def own_documentation() -> list[Source]:
    """Return this project's documentation, as the demo's site serves it."""
    documents = find_documents()
    return [Source(one.path, page(one.title, render(one, documents), documents).encode()) for one in documents]


def _debian(packages: Sequence[Package]) -> list[Source]:
    found = [page for package in packages for page in documentation.pages_of(package)]
    return [Source(page.name.removeprefix(f"{documentation.CORPUS}/"), page.body) for page in found]


def indexed(sources: Sequence[Source], max_tokens: int) -> list[Page]:
    """Return the pages with their text and chunks, made by the services' own code in processes of theirs."""
    return _elsewhere(_cut, _elsewhere(_read, sources), max_tokens)


def _elsewhere(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **named).result()


def _read(sources: Sequence[Source]) -> list[Page]:
    extract = import_from("scraper", "app.core.extraction.extract").extract
    pages = []
    for source in sources:
        found = extract(source.body, url=source.url, media_type="text/html", charset=None)
        pages.append(Page(source.name, source.url, found.title, found.language, found.content, []))
    return pages


def _cut(pages: Sequence[Page], max_tokens: int) -> list[Page]:
    path = tokenizer_file()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    settings = {"TOKENIZER_FILE": str(path), "TOKENIZER_SHA256": digest}
    logic = import_from("chunking", "app.core.logic", **settings)
    tokenizer = logic.Tokenizer.load(path, digest, MINILM.name)
    cut = []
    for one in pages:
        request = ChunkRequest(text=one.text, max_tokens=max_tokens)
        chunks = logic.chunk_text(request, tokenizer, logic.Cancellation()).result.chunks
        cut.append(Page(one.name, one.url, one.title, one.language, one.text, chunks))
    return cut
