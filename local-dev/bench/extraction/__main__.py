"""How much of a page's text is found, beside other extractors: `python -m bench.extraction`, `make bench-extraction`.

Pages come from four corpora (`corpora.py`), measures are in `measures.py`. Each corpus is split once, by the hash of a
page's name: while something is tuned, the tuning half alone is looked at (`--half tuning --worst 15`, `--show NAME`);
the judging half is what is reported. Times are processor time a page, medians; `×` is the median of a page's time to
trafilatura's for the same page, in the same process, one after the other. MB is the most memory beyond what was there.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from html_to_markdown import convert
from lxml.html import tostring

from bench.extraction import files
from bench.extraction.corpora import CORPORA, pages_of
from bench.extraction.extractors import EXTRACTORS, OF_FILES, OURS, there
from bench.extraction.measures import measure
from bench.extraction.pages import Half, Page
from bench.extraction.report import percent, show, show_files, show_worst
from bench.extraction.running import extracted, load, run


def show_page(page: Page, names: Sequence[str]) -> None:
    """Print a page's truth, what extractors made of it, and what they missed."""
    loaded = load(names)
    print(f"== {page.name}\n== truth")
    for part in page.truth():
        print(convert(tostring(part, encoding="unicode")).content or "")
    for name in names:
        markdown, error = extracted(loaded[name], page)
        measured = measure(page, markdown)
        print(f"== {name} {error}\n{markdown}\n== {name}, missed and let in")
        print("\n".join(measured.missed))
        print("  ".join(f"{what} {percent(value)}" for what, value in measured.figures.items()))


def _names(only: str | None) -> list[str]:
    if only is None:
        return list(EXTRACTORS)
    found = [name for name in EXTRACTORS if any(word.strip() in name for word in only.split(","))]
    if not found:
        sys.exit(f"no such extractor; there are {', '.join(EXTRACTORS)}")
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.extraction", description=__doc__)
    parser.add_argument("--half", type=Half, choices=list(Half), default=Half.JUDGING)
    parser.add_argument("--only", help=f"extractors, by a part of their names: {', '.join(EXTRACTORS)}")
    parser.add_argument("--corpus", nargs="*", choices=CORPORA, default=CORPORA)
    parser.add_argument(
        "--readability", type=Path, default=os.environ.get("READABILITY_PAGES"), help="archive or folder"
    )
    parser.add_argument("--worst", type=int, default=0, help="so many of our worst pages, of the tuning half")
    parser.add_argument("--show", metavar="NAME", help="a page of the tuning half whose name has this in it")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once; times are for one")
    parser.add_argument("--rounds", type=int, default=1, help="readings of each page")
    return parser.parse_args()


def main() -> int:
    """Measure, print and return the exit status."""
    chosen = _arguments()
    if chosen.worst and chosen.half is not Half.TUNING:
        sys.exit("--worst goes with --half tuning: the other half is not looked at")
    names = _names(chosen.only)
    # make runs this from another folder than the one that it was called in
    readability = Path(os.environ.get("PWD", "."), chosen.readability) if chosen.readability else None
    pages = pages_of(chosen.corpus, readability)
    if chosen.show:
        found = [page for page in pages if chosen.show in page.name and page.half is Half.TUNING]
        if not found:
            sys.exit("no such page in the tuning half; the other one is not looked at")
        show_page(found[0], names if chosen.only else [OURS])
        return 0
    judged = [page for page in pages if page.half is chosen.half]
    documents = [page for page in judged if page.group.startswith(f"{files.CORPUS}/")]
    results = run([page for page in judged if page not in documents], names, chosen.jobs, chosen.rounds)
    show(results, names, chosen.half)
    if documents:
        readers = [OURS, *there(list(OF_FILES))]
        of_files = run(documents, readers, chosen.jobs, chosen.rounds)
        show_files(of_files, readers, chosen.half)
        results += of_files
    if chosen.worst:
        show_worst(results, names[0], chosen.worst)
    return 0


if __name__ == "__main__":
    sys.exit(main())
