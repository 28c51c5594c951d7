"""What the encoder can do by itself, without HTTP: `python -m bench.gpu.capacity` prints it as one JSON object.

Each length and batch size alone, the next batch begun while one is computed; and our chunks as they come, in their order
or by length, in batches of more and more tokens. What would take longer than its time is left out.
"""

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any, Final

import numpy as np

from bench.gpu import tied
from bench.gpu.choices import add_arguments, chosen_encoder, chosen_shape
from bench.gpu.encoder import SEED, Encoder, Shape, TorchMissingError, Vectors, warm
from bench.gpu.words import documents, tokenize, tokenizer

LENGTHS: Final = (32, 128, 384, 512)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BUDGETS: Final = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
MIXED_DOCUMENTS, MIXED_CHUNKS = 8, 256
WARM_TOKENS: Final = 8_192
WARM_UPS: Final = 2
AT_LEAST: Final = 3
# runs: a p99 of few is their slowest, and the table says how many there were
ALONE_SHARE: Final = 0.4
# of a cell's time: one batch at a time, for its latency; the rest with one begun ahead, for the rate

Batch = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One length and batch size."""

    tokens: int
    batch: int
    runs: int
    p50_ms: float
    p99_ms: float
    tokens_per_second: float
    vectors_per_second: float


@dataclass(frozen=True, slots=True)
class Mixed:
    """Our chunks in batches of at most so many padded tokens."""

    budget: int
    by_length: bool
    tokens_per_second: float
    vectors_per_second: float
    padding: float


def rate(
    encoder: Encoder, batches: Iterable[Batch], seconds: float, at_least: int = AT_LEAST
) -> tuple[float, int, int]:
    """Return the seconds, texts and tokens of batches, the next one begun while one is computed, for about so long."""
    begun: deque[Callable[[], Vectors]] = deque()
    texts = tokens = 0
    began = time.perf_counter()
    for runs, batch in enumerate(batches, 1):
        begun.append(encoder.begin(batch))
        texts += len(batch)
        tokens += sum(map(len, batch))
        if len(begun) > 1:
            begun.popleft()()
        if runs >= at_least and time.perf_counter() - began >= seconds:
            break
    while begun:
        begun.popleft()()
    return time.perf_counter() - began, texts, tokens


def _seconds(encoder: Encoder, batch: Batch) -> float:
    """Return how long a batch takes alone."""
    began = time.perf_counter()
    encoder.begin(batch)()
    return time.perf_counter() - began


def cell(encoder: Encoder, tokens: int, batch: int, vocabulary: int, seconds: float) -> Cell | None:
    """Measure one length and batch size; nothing where it does not fit, or a single run would take all the time."""
    source = np.random.default_rng(SEED)
    texts = source.integers(0, vocabulary, (batch, tokens)).tolist()
    try:
        for _ in range(WARM_UPS):
            if _seconds(encoder, texts) * AT_LEAST > seconds:
                return None
        latencies: list[float] = []
        until = time.perf_counter() + seconds * ALONE_SHARE
        while len(latencies) < AT_LEAST or time.perf_counter() < until:
            latencies.append(_seconds(encoder, texts))
        took, vectors, counted = rate(encoder, cycle([texts]), seconds * (1 - ALONE_SHARE))
    except MemoryError:
        return None
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return Cell(tokens, batch, len(latencies), float(p50), float(p99), counted / took, vectors / took)


def grid(encoder: Encoder, vocabulary: int, seconds: float) -> Iterator[Cell]:
    """Measure all lengths and batch sizes within so many seconds."""
    each = seconds / (len(LENGTHS) * len(BATCHES))
    for tokens in LENGTHS:
        for batch in BATCHES:
            measured = cell(encoder, tokens, batch, vocabulary, each)
            if measured is None:
                break  # larger ones take longer
            yield measured


def cut(texts: Batch, budget: int) -> list[list[Sequence[int]]]:
    """Return texts in batches of at most so many padded tokens, in the order given."""
    batches: list[list[Sequence[int]]] = []
    longest = 0
    for text in texts:
        longest = max(longest, len(text))
        if not batches or longest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            longest = len(text)
        batches[-1].append(text)
    return batches


def mixed(encoder: Encoder, texts: Batch, budget: int, by_length: bool, seconds: float) -> Mixed | None:
    """Measure texts of all lengths; nothing where that does not fit, as in a cell."""
    batches = cut(sorted(texts, key=len, reverse=True) if by_length else texts, budget)
    try:
        longest = max(_seconds(encoder, batch) for batch in batches[:WARM_UPS])
    except MemoryError:
        return None
    if longest * AT_LEAST > seconds and budget > BUDGETS[0]:
        return None
    np.random.default_rng(SEED).shuffle(batches)  # the time may end before all lengths came
    took, vectors, tokens = rate(encoder, cycle(batches), seconds)
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches)
    return Mixed(budget, by_length, tokens / took, vectors / took, padded / sum(map(len, texts)))


def all_mixed(encoder: Encoder, texts: Batch, seconds: float) -> Iterator[Mixed]:
    """Measure texts of all lengths in batches of more and more tokens, by length and in the order given."""
    each = seconds / len(BUDGETS) / 2
    for budget in BUDGETS:
        pair = [mixed(encoder, texts, budget, by_length, each) for by_length in (True, False)]
        measured = [one for one in pair if one is not None]
        if len(measured) < len(pair):
            return  # larger ones take longer
        yield from measured


def measure(encoder: Encoder, shape: Shape, seconds: float) -> dict[str, Any]:
    """Measure everything within so many seconds once it is warm, three quarters of them for the grid."""
    vocabulary = shape.vocabulary
    warm(encoder, shape, WARM_TOKENS)
    cells = list(grid(encoder, vocabulary, seconds * 0.75))
    known = tokenizer(vocabulary)
    texts = [
        tokens
        for document in documents(MIXED_DOCUMENTS, MIXED_CHUNKS, vocabulary)
        for tokens in tokenize(known, [text.text for text in document])
    ]
    mixes = list(all_mixed(encoder, texts, seconds * 0.25))
    return {
        "encoder": encoder.described,
        "weights": "random: speed does not depend on them",
        "cells": [asdict(one) for one in cells],
        "mixed": [asdict(one) for one in mixes],
    }


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.capacity", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=180.0)
    tied.add_argument(parser)
    arguments = parser.parse_args()
    tied.tie(arguments)
    try:
        encoder = chosen_encoder(arguments)
    except TorchMissingError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(measure(encoder, chosen_shape(arguments), arguments.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
