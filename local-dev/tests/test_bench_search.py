"""The bench of search's speed: what it makes up, and that it asks the service itself."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bench.search.data import CORPORA, DIMENSIONS, DOCUMENT_CHUNKS, OWNERS, Maker, owner_of, parts

LOCAL_DEV = Path(__file__).resolve().parents[1]


def test_fifty_corpora_of_twenty_owners_one_has_most_and_some_have_little() -> None:
    made = parts(1_000_000)
    chunks: Counter[str] = Counter()
    for part in made:
        chunks[part.owner] += part.documents * DOCUMENT_CHUNKS
    assert (len(made), len(chunks)) == (CORPORA, OWNERS)
    total = chunks.total()
    assert total == pytest.approx(1_000_000, rel=0.01)
    assert chunks[owner_of(0)] / total == pytest.approx(0.6, abs=0.01)
    assert [chunks[owner_of(number)] / total for number in range(1, 6)] == pytest.approx([0.01] * 5, abs=0.002)


def test_the_same_seed_makes_the_same_and_vectors_lie_in_clusters() -> None:
    made = Maker(1).document(parts(1)[0], 0)
    again = Maker(1).document(parts(1)[0], 0)
    assert made.texts == again.texts
    assert np.array_equal(made.vectors, again.vectors)
    assert not np.array_equal(made.vectors, Maker(2).document(parts(1)[0], 0).vectors)
    vectors = Maker(1).vectors(3_000)
    assert vectors.shape == (3_000, DIMENSIONS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
    similar = np.sort(vectors[:100] @ vectors.T, axis=1)
    assert similar[:, -3].mean() > 3 * np.abs(similar[:, 1_500]).mean(), "some are near, most are far"


def test_a_changed_document_keeps_the_chunks_that_are_not_new() -> None:
    maker = Maker(1)
    made = maker.document(parts(1)[0], 0)
    changed = maker.changed(made, 10)
    assert sum(old != new for old, new in zip(made.texts, changed.texts, strict=True)) == 10
    assert (made.vectors != changed.vectors).any(axis=1).sum() == 10


@pytest.mark.timeout(300)
def test_it_measures_the_service_and_keeps_the_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.search", "--chunks", "1", "--churn-chunks", "128", "--refreshes", "1"),
            *("--queries", "2", "--modes", "vector", "--out", str(out)),
        ],
        cwd=LOCAL_DEV,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    found = json.loads(out.read_text())
    assert found["load"]["chunks"] == CORPORA * DOCUMENT_CHUNKS
    assert {row["recall"] for row in found["asked"] if row["recall"] is not None} == {1.0}, "all is compared"
    assert sum(row["short"] for row in found["asked"]) == 0
    assert found["churn"]["changed_chunks"] == 13
    assert "the 60 % owner" in done.stdout
