"""Has extractors read pages, in processes of their own, and keeps what came out."""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from bench.extraction.extractors import EXTRACTORS, OF_FILES, Extractor
from bench.extraction.measures import Measured, measure
from bench.extraction.pages import Page
from bench.extraction.readings import Reading, read

_WARMING = b"<html><body><main><h1>Warm</h1><p>Something to read before any clock runs.</p></main></body></html>"


@dataclass(frozen=True)
class Result:
    """What one extractor made of one page."""

    page: str
    group: str
    extractor: str
    measured: Measured
    reading: Reading
    error: str = ""


_loaded: dict[str, Extractor] = {}


def load(names: Sequence[str]) -> dict[str, Extractor]:
    """Load the extractors into a process, and let each run once: what it imports later is not the first page's."""
    for name in names:
        _loaded[name] = (EXTRACTORS.get(name) or OF_FILES[name])()
        extracted(_loaded[name], Page("warming", _WARMING, _WARMING, ("//main",)))
    return _loaded


def extracted(extractor: Extractor, page: Page) -> tuple[str, str]:
    """Return what an extractor makes of a page, and what it fails with."""
    try:
        return extractor(page.body, f"https://bench.example/{page.name}"), ""
    except Exception as error:  # noqa: BLE001 - whatever an extractor raises, it found nothing
        return "", f"{type(error).__name__}: {error}"


def _measured(page: Page, rounds: int) -> list[Result]:
    """Have each extractor read a page, one after the other: whatever slows the machine down slows them all."""
    results = []
    for name, extractor in _loaded.items():
        answers, readings = zip(*(read(partial(extracted, extractor, page)) for _ in range(rounds)), strict=True)
        markdown, error = answers[0]
        results.append(Result(page.name, page.group, name, measure(page, markdown), Reading.of_all(readings), error))
    return results


def run(pages: Sequence[Page], names: Sequence[str], jobs: int, rounds: int) -> list[Result]:
    """Have every extractor read every page."""
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=load, initargs=(names,)) as pool:
        results: list[Result] = []
        for done, found in enumerate(pool.map(partial(_measured, rounds=rounds), pages), start=1):
            results += found
            if sys.stderr.isatty():
                print(f"\r{done} of {len(pages)} pages", end="\n" if done == len(pages) else "", file=sys.stderr)
    return results
