"""The bench of search: its questions, its measures, and that it asks the service itself."""

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from bench.extraction import documentation
from bench.extraction.pages import Half
from bench.quality import baselines
from bench.quality.__main__ import answerable
from bench.quality.measures import Ranking, measure
from bench.quality.models import KeptVectors, Model
from bench.quality.pages import MULTILINGUAL_PACKAGES, SETS, Page, indexed, own_documentation
from bench.quality.questions import Answer, Place, Question, read_questions

LOCAL_DEV = Path(__file__).resolve().parents[1]
DEBIAN_SETS = tuple(name for name in SETS if name != "project")
EXTRACTIONS_OWN = {"git-doc", "sqlite3-doc", "python3.11-doc", "postgresql-doc-15", "debian-handbook"}
EXTRACTIONS_OWN |= {"python-django-doc"}
# extraction is judged on these: nothing is tuned on them
LANGUAGES = ("de", "fr", "es", "zh")
PLACES = [Place("p", 0, 10), Place("p", 10, 20), Place("p", 20, 30), Place("q", 0, 30)]


def question(*passages: str, page: str = "p") -> Question:
    return Question(id="a", query="?", answers=[Answer(page=page, passage=passage) for passage in passages])


@pytest.mark.parametrize(
    ("names", "least"), [(("project",), 40), (DEBIAN_SETS, 150), (("identifiers",), 30), (("multilingual",), 20)]
)
def test_there_are_as_many_questions_as_were_asked_for(names: tuple[str, ...], least: int) -> None:
    assert sum(len(read_questions(name)) for name in names) >= least


def test_no_two_questions_have_the_same_id_or_ask_the_same() -> None:
    every = [asked for name in SETS for asked in read_questions(name)]
    assert len({asked.id for asked in every}) == len(every)
    assert len({asked.query.lower() for asked in every}) == len(every)


@pytest.mark.parametrize("name", SETS)
def test_each_half_has_a_fair_part_of_a_set(name: str) -> None:
    questions = read_questions(name)
    assert all(sum(asked.half is half for asked in questions) > len(questions) / 3 for half in Half)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_asked_in(language: str) -> None:
    assert sum(asked.id.startswith(f"multi-{language}-") for asked in read_questions("multilingual")) >= 5


def test_debian_pages_are_of_packages_that_the_bench_fetches_and_extraction_is_not_judged_by() -> None:
    fetched = {package.name for package in (*documentation.PACKAGES, *MULTILINGUAL_PACKAGES)}
    asked = {
        answer.page.split("/")[0] for name in DEBIAN_SETS for one in read_questions(name) for answer in one.answers
    }
    assert asked <= fetched
    assert not asked & EXTRACTIONS_OWN


@pytest.fixture(scope="module")
def own_pages() -> dict[str, Page]:
    return {page.name: page for page in indexed(own_documentation(), 512)}


@pytest.mark.parametrize("asked", read_questions("project"), ids=lambda asked: asked.id)
def test_a_passage_of_our_own_documentation_is_in_its_page(asked: Question, own_pages: dict[str, Page]) -> None:
    assert asked.missing({name: page.text for name, page in own_pages.items()}) == []


def test_a_chunk_is_what_its_place_says(own_pages: dict[str, Page]) -> None:
    for page in own_pages.values():
        assert [chunk.text for chunk in page.chunks] == [page.text[place.start : place.end] for place in page.places]


def test_a_question_whose_passage_is_not_there_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page("p", "https://docs.example/p", None, None, "Boats float.\nMostly.", [])
    there, gone = question("float. Mostly."), question("Boats sink")
    assert answerable([there, gone], [page]) == [there]
    assert "a is left out: p has no “Boats sink”" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("passage", "right"),
    [
        ("abc", [0]),
        ("j k", [1]),
        ("a passage of a page that is not there", []),
        ("uvw", [2]),
    ],
)
def test_the_right_chunk_is_the_one_that_has_most_of_the_passage(passage: str, right: list[int]) -> None:
    texts = {"p": "abcdefghij\n klmnopqrstuvwxyz."}
    assert question(passage).right(texts, PLACES) == {PLACES[number] for number in right}


def test_where_chunks_overlap_both_are_right_and_so_is_each_answer() -> None:
    overlapping = [Place("p", 0, 10), Place("p", 5, 20), Place("p", 20, 30)]
    text = {"p": "0123456789" * 3}
    assert question("789").right({"p": "0123456789" + "-" * 20}, overlapping) == set(overlapping[:2])
    assert question("789", "0").right(text, overlapping) == set(overlapping)


@pytest.mark.parametrize(
    ("places", "figures"),
    [
        ([0, 1], (1, 1, 1, 1, 1 / (1 + 1 / math.log2(3)))),
        ([1, 3, 0], (0, 1, 1, 1 / 3, 1 / 2 / (1 + 1 / math.log2(3)))),
        ([1] * 5 + [2, 0], (0, 0, 1, 1 / 6, (1 / math.log2(7) + 1 / math.log2(8)) / (1 + 1 / math.log2(3)))),
        ([1] * 10 + [0], (0, 0, 0, 0, 0)),
        ([], (0, 0, 0, 0, 0)),
    ],
)
def test_figures_say_how_early_the_first_right_passage_comes_and_how_many_do(
    places: list[int], figures: tuple[float, ...]
) -> None:
    ranking = Ranking("a", "hybrid", [PLACES[number] for number in places], 0.001)
    found = measure(ranking, frozenset({PLACES[0], PLACES[2]}))
    assert tuple(found.values()) == pytest.approx(figures)


def test_cosine_compares_all_and_fusion_counts_places() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    assert baselines.nearest(vectors, np.array([0, 1], dtype=np.float32)) == [2, 1, 0]
    assert baselines.fused([[2, 1, 0], [1, 3]]) == [1, 2, 3, 0]


def test_bm25s_returns_only_what_has_a_word_of_the_query() -> None:
    pytest.importorskip("bm25s", reason="make bench-quality installs it")
    index = baselines.Bm25(["the rope and the mast", "a rope", "sails"], english=True)
    assert sorted(index.best("which rope?")) == [0, 1]
    assert index.best("the") == []


class Counting:
    """Makes vectors of letters, and remembers of what."""

    asked: ClassVar[list[str]] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.extend(texts)
        counts = np.array([[text.count(letter) + 0.01 for letter in "abcdefgh"] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_a_text_is_given_to_the_model_once(tmp_path: Path) -> None:
    Counting.asked.clear()
    model = Model("letters", 8, 512, Counting)
    with KeptVectors.open(model, tmp_path) as vectors:
        first = vectors.of(["abc", "d", "abc"])
    with KeptVectors.open(model, tmp_path) as vectors:
        second = vectors.of(["d", "e", "abc"])
    assert sorted(Counting.asked) == ["abc", "d", "e"]
    assert np.array_equal(first[[1, 0]], second[[0, 2]])


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command], cwd=LOCAL_DEV, capture_output=True, text=True, check=False, timeout=280
    )


def test_the_judging_half_is_not_looked_at_question_by_question() -> None:
    done = run("-m", "bench.quality", "--sets", "project", "--worst", "3")
    assert done.returncode != 0
    assert "the other half is not looked at" in done.stderr


SERVICE = """
import sys
from pathlib import Path
from typing import ClassVar
from bench.quality.models import KeptVectors, Model
from bench.quality.pages import Source, indexed
from bench.quality.questions import Answer, Place, Question
from bench.quality.searching import rankings_of
from tests.test_bench_quality import Counting

if __name__ == "__main__":
    says = {"café": "The abacus has beads.", "b": "A hedgehog hogs the hedge.", "c": "Nothing of that: zzz."}
    html = "<html lang='en'><main><h1>Page</h1><p>{}</p><p>More words stand here.</p></main></html>"
    pages = indexed([Source(name, html.format(text).encode()) for name, text in says.items()], 512)
    asked = Question(id="x", query="hedgehog", answers=[Answer(page="b", passage="hogs the hedge")])
    with KeptVectors.open(Model("letters", 8, 512, Counting), Path(sys.argv[1])) as vectors:
        for found in rankings_of(pages, vectors, [asked], words=False):
            print(found.method, *[place.page for place in found.places])
"""


def test_the_service_itself_is_asked_and_its_vectors_are_compared_as_numpy_does(tmp_path: Path) -> None:
    script = tmp_path / "asked.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(LOCAL_DEV)!r})\n{SERVICE}")
    done = run(str(script), str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert found["vector"] == found["cosine"]
    assert len(found["vector"]) == 3
    assert found["text"] == ["b"]
    assert found["hybrid"][0] == "b"
