"""The bench of the embedding endpoint's side: its encoders, its queue, what it measures and what it says."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.gpu import __main__ as bench
from bench.gpu import share
from bench.gpu.capacity import BATCHES, LENGTHS, cell, cut, grid, measure, rate
from bench.gpu.encoder import (
    BGE_LARGE,
    TINY,
    NumpyEncoder,
    Shape,
    SimulatedEncoder,
    TorchMissingError,
    Vectors,
    random_weights,
    torch_encoder,
    torch_is_there,
    warm,
)
from bench.gpu.report import capacity_at, chosen_budget, show
from bench.gpu.room import Room, RoomFullError, Waiting
from bench.gpu.runner import Runner
from bench.gpu.share import BenchError
from bench.gpu.words import DISTINCT_TEXTS, documents, tokenize, tokenizer, word

RUN_SECONDS = 0.0001
SMALL = Shape(layers=1, width=16, heads=2, inner=32, vocabulary=2_000)


def texts_of(*lengths: int) -> list[list[int]]:
    source = np.random.default_rng(1)
    return [source.integers(1_000, SMALL.vocabulary, length).tolist() for length in lengths]


def test_the_model_is_of_the_published_shape() -> None:
    matrices = {name: matrix.size for name, matrix in random_weights(SMALL).items()}
    assert matrices["words"] == SMALL.vocabulary * SMALL.width
    assert sum(matrices.values()) - matrices["words"] - matrices["positions"] == SMALL.multiplications
    # the 335 million that bge-large-en-v1.5 is said to have, but for norms, biases, and its pooler of a million
    assert BGE_LARGE.multiplications + BGE_LARGE.width * (BGE_LARGE.vocabulary + BGE_LARGE.positions) == 333_768_704


def test_a_text_has_the_same_vector_of_length_1_whatever_it_is_padded_to() -> None:
    encoder = NumpyEncoder(SMALL)
    texts = texts_of(3, 40, 11)
    together = encoder.begin(texts)()
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together, np.concatenate([encoder.begin([text])() for text in texts]), atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=0.1)


def test_torch_and_numpy_compute_the_same() -> None:
    pytest.importorskip("torch", reason="torch is no dependency of this project")
    texts = texts_of(5, 33, 8, 16)
    assert np.allclose(torch_encoder(SMALL, "cpu").begin(texts)(), NumpyEncoder(SMALL).begin(texts)(), atol=1e-5)


def test_without_torch_the_bench_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.gpu.encoder.torch_is_there", lambda: False)
    monkeypatch.setattr(bench, "torch_is_there", lambda: False)
    with pytest.raises(TorchMissingError, match="pip install torch"):
        torch_encoder(SMALL)
    assert bench.main([]) == 1
    assert "pip install torch" in capsys.readouterr().err


def test_only_the_encoder_on_torch_imports_it() -> None:
    assert torch_is_there() or isinstance(NumpyEncoder(SMALL), NumpyEncoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "torch", None)  # as if it were not installed
        for name in ("server", "client", "capacity", "share", "__main__"):
            __import__(f"bench.gpu.{name}")
        NumpyEncoder(SMALL).begin(texts_of(4))()


class Clock:
    """A clock that goes only when somebody sleeps: what a busy machine adds is in no figure."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class LoadsFirst:
    """An encoder that takes long for the first batch of a width, as a card's libraries do."""

    dimensions, described, reads_tokens, loads_late = 4, "loads first", True, True

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.known = clock, seconds, set[int]()

    def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
        width = max(map(len, texts))
        if width not in self.known:
            self.clock.sleep(self.seconds)
            self.known.add(width)
        self.clock.sleep(RUN_SECONDS)
        return lambda: np.zeros((len(texts), self.dimensions), dtype=np.float32)


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mix few texts: making them up is most of what a measurement takes that computes nothing."""
    monkeypatch.setattr("bench.gpu.capacity.MIXED_DOCUMENTS", 2)
    monkeypatch.setattr("bench.gpu.capacity.MIXED_CHUNKS", 32)


@pytest.mark.usefixtures("few_texts")
def test_what_the_first_batch_of_a_width_takes_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("bench.gpu.capacity.time", clock)
    found = measure(LoadsFirst(clock, 0.005), SMALL, seconds=0.2)
    assert {one["tokens"] for one in found["cells"]} == set(LENGTHS)
    assert [one["p99_ms"] for one in found["cells"]] == pytest.approx([RUN_SECONDS * 1e3] * len(found["cells"]))
    encoder = LoadsFirst(clock, 0)
    warm(encoder, SMALL, 1024)
    assert encoder.known == set(range(8, SMALL.positions + 1, 8))


def test_simulated_batches_take_their_time_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("bench.gpu.encoder.time", clock)
    encoder = SimulatedEncoder(4, batch_seconds=0.01, token_seconds=0.001)
    waits = [encoder.begin(texts_of(5, 10)), encoder.begin(texts_of(20))]
    assert clock.now == 100  # begun, not awaited
    for wait, until in zip(waits, (100.03, 100.06), strict=True):
        wait()
        assert clock.now == pytest.approx(until)
    clock.now = 200
    encoder.begin(texts_of(20))()
    assert clock.now == pytest.approx(200.03)


def test_a_word_is_a_token_and_chunks_are_as_long_as_ours() -> None:
    assert len({word(token) for token in range(1_000, TINY.vocabulary)}) == TINY.vocabulary - 1_000
    [one, other] = documents(2, DISTINCT_TEXTS, TINY.vocabulary)
    counted = [len(tokens) for tokens in tokenize(tokenizer(TINY.vocabulary), [text.text for text in one])]
    assert counted == [text.tokens for text in one]
    assert 380 < np.mean(counted) < 450
    assert max(counted) <= 512
    assert one != other
    assert {text.tokens for text in documents(1, 5, TINY.vocabulary, tokens=32)[0]} == {32}


class Taken:
    """What came back for texts, by their names."""

    def __init__(self, expected: int = 0) -> None:
        self.found: dict[str, Any] = {}
        self.came = threading.Event()
        self._expected = expected

    def waiting(self, name: str, length: int) -> Waiting:
        return Waiting([1] * length, lambda vector: self._take(name, vector))

    def _take(self, name: str, vector: object) -> None:
        self.found[name] = vector
        if len(self.found) == self._expected:
            self.came.set()


def room_with(*lengths: int, **options: Any) -> Room:
    room = Room(**options)
    taken = Taken()
    room.put([taken.waiting(str(number), length) for number, length in enumerate(lengths)])
    return room


def lengths_of(batch: Sequence[Waiting]) -> list[int]:
    return [len(text.tokens) for text in batch]


def test_a_batch_has_the_oldest_text_and_those_of_nearest_length() -> None:
    room = room_with(50, 400, 52, 10, 47, 390, batch_tokens=160, longest_wait_seconds=0)
    assert lengths_of(room.next_batch()) == [47, 50, 52]
    assert lengths_of(room.next_batch()) == [400]
    assert lengths_of(room.next_batch()) == [10]  # older than 390, and too far from it
    assert lengths_of(room.next_batch()) == [390]


def test_a_batch_keeps_to_its_padded_tokens_and_texts() -> None:
    room = room_with(*range(100, 0, -1), batch_tokens=500, batch_texts=10, longest_wait_seconds=0)
    batches = []
    while len(room):
        batches.append(lengths_of(room.next_batch()))
    assert sorted(length for batch in batches for length in batch) == list(range(1, 101))
    assert all(max(batch) * len(batch) <= 500 and len(batch) <= 10 for batch in batches)
    assert max(map(len, batches)) == 10


def test_texts_that_fill_no_batch_wait_for_more_but_only_so_long() -> None:
    assert lengths_of(room_with(5, batch_tokens=1_000, longest_wait_seconds=0.05).next_batch()) == [5]
    room = room_with(5, batch_tokens=10, longest_wait_seconds=600)
    found: list[Waiting] = []
    thread = threading.Thread(target=lambda: found.extend(room.next_batch()))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    room.put([Taken().waiting("more", 5)])
    thread.join(60)
    assert lengths_of(found) == [5, 5]


def test_a_room_takes_all_texts_or_none() -> None:
    room = room_with(1, 2, 3, most_waiting=4)
    with pytest.raises(RoomFullError):
        room.put([Taken().waiting("a", 1), Taken().waiting("b", 1)])
    assert len(room) == 3
    room.put([Taken().waiting("a", 1)])


def test_a_closed_room_gives_back_what_waited_and_takes_nothing() -> None:
    room = room_with(3, 1, 2, longest_wait_seconds=0)
    assert lengths_of(room.close()) == [1, 2, 3]
    assert room.next_batch() == []
    with pytest.raises(RoomFullError):
        room.put([Taken().waiting("a", 1)])


class Failing:
    """Fails on texts of one token: at once, or when it is waited for."""

    dimensions, described, reads_tokens = 1, "failing", True

    def __init__(self, *, later: bool) -> None:
        self._later = later

    def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
        def wait() -> Vectors:
            if len(texts[0]) == 1:
                raise RuntimeError("out of memory")
            return np.zeros((len(texts), 1), dtype=np.float32)

        if not self._later:
            wait()
        return wait


@pytest.mark.parametrize("later", [False, True])
def test_a_batch_that_fails_is_told_to_its_texts_and_the_next_one_is_computed(later: bool) -> None:
    room, taken = Room(batch_texts=1), Taken(expected=3)
    with Runner(Failing(later=later), room) as runner:
        room.put([taken.waiting("bad", 1), taken.waiting("good", 2), taken.waiting("worse", 1)])
        assert taken.came.wait(60)
    assert {name: type(found).__name__ for name, found in taken.found.items()} == {
        "bad": "RuntimeError",
        "good": "ndarray",
        "worse": "RuntimeError",
    }
    assert (runner.done.batches, runner.done.texts, runner.done.tokens) == (1, 1, 2)


def test_texts_that_wait_when_the_encoder_ends_are_told_so() -> None:
    room, taken = Room(batch_tokens=100, longest_wait_seconds=60), Taken()
    with Runner(SimulatedEncoder(1, 0, 0), room):
        room.put([taken.waiting("early", 5)])
    assert isinstance(taken.found["early"], RuntimeError)


def test_texts_are_cut_into_batches_in_their_order() -> None:
    texts = texts_of(4, 4, 5, 1, 9, 30)
    batches = cut(texts, 12)
    assert [list(map(len, batch)) for batch in batches] == [[4, 4], [5, 1], [9], [30]]
    assert [text for batch in batches for text in batch] == texts


def test_a_rate_counts_what_was_computed_and_begins_one_batch_ahead() -> None:
    begun: list[int] = []
    most = 0

    class Counting:
        dimensions, described, reads_tokens = 1, "counting", True

        def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
            nonlocal most
            begun.append(len(texts))
            most = max(most, len(begun))

            def wait() -> Vectors:
                begun.pop(0)
                return np.zeros((len(texts), 1), dtype=np.float32)

            return wait

    _, texts, tokens = rate(Counting(), [texts_of(3, 2)] * 9, seconds=0, at_least=5)
    assert (texts, tokens, most, begun) == (10, 25, 2, [])


def test_what_takes_longer_than_its_time_or_does_not_fit_is_left_out() -> None:
    assert cell(SimulatedEncoder(1, 0.05, 0), 8, 1, 100, seconds=0.01) is None

    class Full(SimulatedEncoder):
        def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
            raise MemoryError

    assert cell(Full(1, 0, 0), 8, 1, 100, seconds=0.01) is None


def test_of_each_length_the_batches_are_measured_up_to_the_first_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(encoder: object, tokens: int, batch: int, vocabulary: int, seconds: float) -> tuple[int, int] | None:
        assert seconds * len(LENGTHS) * len(BATCHES) == pytest.approx(8)
        return (tokens, batch) if tokens * batch <= 512 else None

    monkeypatch.setattr("bench.gpu.capacity.cell", found)
    assert list(grid(SimulatedEncoder(1, 0, 0), 100, seconds=8)) == [
        *((32, batch) for batch in (1, 2, 4, 8, 16)),
        *((128, batch) for batch in (1, 2, 4)),
        *((384, 1), (512, 1)),
    ]


@pytest.mark.usefixtures("few_texts")
def test_what_was_found_before_a_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise BenchError("the server did not start")

    monkeypatch.setattr(bench, "served", fail)
    monkeypatch.setattr(
        bench, "measured_capacity", lambda *_: measure(SimulatedEncoder(1, 1e-4, 1e-7), SMALL, seconds=0.1)
    )
    monkeypatch.setattr(bench, "check_imports", lambda: None)
    assert bench.main(["--encoder", "simulated", "--out", str(tmp_path / "gpu.json")]) == 1
    assert json.loads((tmp_path / "gpu.json").read_text())["capacity"]["mixed"]
    said = capsys.readouterr().out
    assert "the encoder alone" in said
    assert "FAILED: the server did not start" in said


class Counted:
    """A server whose counts are these, one after the other."""

    def __init__(self, *batches: int) -> None:
        self._batches = iter(batches)

    def stats(self) -> dict[str, float]:
        return {"batches": next(self._batches)}


def test_a_rate_waits_for_a_batch_that_takes_longer_than_its_time_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(share, "time", clock)
    assert share.counts_after(Counted(4, 4, 5, 6), "client", 4) == {"batches": 5}
    with pytest.raises(BenchError, match="client: nothing was embedded in 180 s"):
        share.counts_after(Counted(*[4] * 20_000), "client", 4)
    assert clock.now == pytest.approx(100 + share.START_SECONDS, abs=1)


def mixed(budget: int, speed: float, by_length: bool = True) -> dict[str, Any]:
    return {
        "budget": budget,
        "by_length": by_length,
        "tokens_per_second": speed,
        "vectors_per_second": 1,
        "padding": 1.1,
    }


def test_the_server_makes_the_smallest_batches_that_are_nearly_as_fast_as_any() -> None:
    assert chosen_budget([mixed(2, 80.0), mixed(4, 98.5), mixed(8, 100.0), mixed(1, 200.0, by_length=False)]) == 4


def test_the_capacity_of_a_length_is_that_of_the_batches_that_the_server_may_make() -> None:
    cells = [{"tokens": 32, "batch": batch, "tokens_per_second": batch * 10.0} for batch in (1, 2, 4)]
    assert capacity_at(cells, 32, budget=64) == 20
    assert capacity_at(cells, 32, budget=8) == 10
    assert capacity_at(cells, 128, budget=64) == 0


@pytest.mark.usefixtures("few_texts")
def test_the_table_says_that_weights_are_random_and_what_was_missed_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("bench.gpu.capacity.time", clock)
    monkeypatch.setattr("bench.gpu.encoder.time", clock)
    capacity = measure(SimulatedEncoder(1, 1e-4, 1e-7), SMALL, seconds=0.5)
    rate_of_row = {
        "tokens_per_second": 1.0,
        "vectors_per_second": 1.0,
        "texts_per_batch": 2.0,
        "tokens_per_batch": 3.0,
        "padding": 1.0,
        "server_cores": 0.1,
        "client_cores": 0.1,
        "query_ms": None,
    }
    case = {"documents": 4, "chunks": 9, "tokens": None, "settings": {}, "query": False}
    tried = {**case, "settings": {"EMBEDDING_CONCURRENCY": "3"}}
    table = show(
        {
            "capacity": capacity,
            "batch_tokens": 2_048,
            "of_encoder_over_http": 0.97,
            "left_out": [case],
            "failed": "the server went away",
            "rows": [
                {"case": case, "rate": rate_of_row, "of_encoder": 0.91, "of_http": 1, "aimed": True, "tried": False},
                {"case": tried, "rate": rate_of_row, "of_encoder": 0.9, "of_http": None, "aimed": False, "tried": True},
            ],
        }
    )
    assert "weights random" in table.splitlines()[0]
    assert "4 in flight: 0.910 of the encoder (aim 0.95: missed)" in table
    assert "FAILED: the server went away" in table
    assert "EMBEDDING_CONCURRENCY=3" in table
    assert "left out, for want of time: 1 rows" in table
