"""Tables of figures, and of the tuning half the questions that went wrong."""

import statistics
from collections.abc import Mapping, Sequence

from bench.extraction.pages import Half
from bench.quality import baselines
from bench.quality.measures import COLUMNS, Ranking, means, measure
from bench.quality.pages import Page
from bench.quality.questions import Place, Question
from bench.quality.searching import METHODS, MODES

WIDTH, FIRST_WIDTH = 9, 12
SHOWN_CHARACTERS = 160
Right = Mapping[str, frozenset[Place]]


def show(name: str, half: Half, rankings: Sequence[Ranking], right: Right) -> None:
    """Print a set's table: a row a method."""
    counted = len({ranking.question for ranking in rankings})
    print(f"\n{name}, {half}: {counted} questions")
    print("".ljust(FIRST_WIDTH) + "".join(column.rjust(WIDTH) for column in (*COLUMNS, "p50 ms", "× cosine")))
    taken = {method: [one for one in rankings if one.method == method] for method in METHODS}
    reference = statistics.median(one.seconds for one in taken[baselines.COSINE])
    for method, found in taken.items():
        if found:
            figures = means(measure(one, right[one.question]) for one in found)
            median = statistics.median(one.seconds for one in found)
            cells = [f"{figures[column]:.3f}" for column in COLUMNS]
            cells += [f"{median * 1e3:.2f}", f"{median / reference:.1f}"]
            print(method.ljust(FIRST_WIDTH) + "".join(cell.rjust(WIDTH) for cell in cells))


def show_worst(
    questions: Sequence[Question], rankings: Sequence[Ranking], right: Right, pages: Sequence[Page], count: int
) -> None:
    """Print the questions that the service's default finds last, with what came first instead."""
    texts = {page.name: page.text for page in pages}
    asked = {(one.question, one.method): one for one in rankings}
    default = MODES[-1]
    order = sorted(questions, key=lambda one: measure(asked[one.id, default], right[one.id])["MRR"])
    for question in order[:count]:
        ranks = {method: asked[question.id, method] for method in METHODS if (question.id, method) in asked}
        told = "  ".join(f"{method} {one.rank(right[question.id]) or '–'}" for method, one in ranks.items())
        print(f"\n{question.id}: {question.query}\n  {told}")
        print(f"  wanted: {question.answers[0].page}: {question.answers[0].passage}")
        first = ranks[default].places[0] if ranks[default].places else None
        if first is not None and first not in right[question.id]:
            text = " ".join(texts[first.page][first.start : first.end].split())
            print(f"  first:  {first.page}: {text[:SHOWN_CHARACTERS]}")
