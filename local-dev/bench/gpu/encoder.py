"""A BERT encoder with random weights, on torch where that is installed, else on numpy; and one that only takes time.

How fast a model is depends on its shape and on what it is given, not on what its weights say. So nothing is fetched, and
the vectors mean nothing.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Weights = dict[str, NDArray[np.float32]]
SEED: Final = 20_261_128
NORM_EPSILON: Final = 1e-12
SPREAD: Final = 0.02
# BERT's own at the start of its training: activations keep a size that bf16 holds
WARM_WIDTHS: Final = 8
GET_TORCH: Final = (
    "torch is not installed here, and this project does not depend on it: `.venv/bin/python -m pip install torch` where "
    "the card is, or run this with the Python that has it (bench/gpu/wheels.py says how). Without torch, --encoder numpy "
    "--shape tiny computes a small model, and --encoder simulated only takes a card's time"
)


class TorchMissingError(Exception):
    """The encoder that was asked for needs torch."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how fast a BERT is."""

    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int = 30_522
    positions: int = 512

    @property
    def multiplications(self) -> int:
        """How many a token costs in matrices, attention between tokens left out."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.inner)


BGE_LARGE: Final = Shape(layers=24, width=1024, heads=16, inner=4096)
TINY: Final = Shape(layers=1, width=32, heads=1, inner=64)
SHAPES: Final = {"bge-large": BGE_LARGE, "tiny": TINY}


class Encoder(Protocol):
    """What the server and the measurements run."""

    dimensions: int
    described: str
    reads_tokens: bool
    """Whether it looks at what the tokens are, and not only at how many."""
    loads_late: bool
    """Whether the first batch of a kind takes longer than those after it."""

    def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
        """Start on a batch of texts' tokens, and return what waits for its vectors: one a text, in their order.

        Called by one thread, and what it returns by another: a card computes a batch while the next one is prepared.
        """
        ...


def padded(texts: Sequence[Sequence[int]], multiple: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tokens as one array, as wide as the longest text, and how many of each row are the text's."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    width = -(-int(lengths.max()) // multiple) * multiple
    tokens = np.zeros((len(texts), width), dtype=np.int64)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = text
    return tokens, lengths


def random_weights(shape: Shape, seed: int = SEED) -> Weights:
    """Return a model's matrices, the same for a seed. Biases and norms are left as training begins: 0 and 1."""
    source = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        drawn = source.standard_normal((rows, columns), dtype=np.float32)
        drawn *= SPREAD
        return drawn

    weights = {"words": matrix(shape.vocabulary, shape.width), "positions": matrix(shape.positions, shape.width)}
    for layer in range(shape.layers):
        weights[f"{layer}.qkv"] = matrix(shape.width, 3 * shape.width)
        weights[f"{layer}.out"] = matrix(shape.width, shape.width)
        weights[f"{layer}.up"] = matrix(shape.width, shape.inner)
        weights[f"{layer}.down"] = matrix(shape.inner, shape.width)
    return weights


def norm(values: Vectors) -> Vectors:
    """Return rows of mean 0 and variance 1."""
    centred = values - values.mean(axis=-1, keepdims=True)
    scaled: Vectors = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + NORM_EPSILON)
    return scaled


class NumpyEncoder:
    """The same arithmetic without torch: for tests, and to rehearse."""

    reads_tokens = True
    loads_late = False

    def __init__(self, shape: Shape, seed: int = SEED) -> None:
        self._shape = shape
        self._weights = random_weights(shape, seed)
        self.dimensions = shape.width
        self.described = f"numpy, float32, {shape.layers} layers of {shape.width}, on the CPU"

    def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
        """Compute a batch."""
        vectors = self._embed(*padded(texts))
        return lambda: vectors

    def _embed(self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> Vectors:
        weights, (rows, width) = self._weights, tokens.shape
        mask = np.where(np.arange(width) < lengths[:, None], np.float32(0), np.float32(-1e9))[:, None, None, :]
        hidden = norm(weights["words"][tokens] + weights["positions"][:width])
        for layer in range(self._shape.layers):
            qkv = hidden @ weights[f"{layer}.qkv"]
            query, key, value = (
                part.reshape(rows, width, self._shape.heads, -1).swapaxes(1, 2) for part in np.split(qkv, 3, axis=-1)
            )
            scores = query @ key.swapaxes(2, 3) / np.float32(np.sqrt(query.shape[-1])) + mask
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            seen = (scores / scores.sum(axis=-1, keepdims=True)) @ value
            hidden = norm(hidden + seen.swapaxes(1, 2).reshape(hidden.shape) @ weights[f"{layer}.out"])
            hidden = norm(hidden + gelu(hidden @ weights[f"{layer}.up"]) @ weights[f"{layer}.down"])
        first = hidden[:, 0]  # as bge does: the vector is the first token's
        vectors: Vectors = first / np.linalg.norm(first, axis=1, keepdims=True)
        return vectors.astype(np.float32)


def gelu(values: Vectors) -> Vectors:
    """Return the activation, by its usual approximation."""
    slope = np.float32(np.sqrt(2 / np.pi))
    curved: Vectors = values * (1 + np.tanh(slope * (values + np.float32(0.044715) * values**3))) / 2
    return curved


class SimulatedEncoder:
    """Takes the time of a card and computes nothing: so much a batch, and so much for each of its padded tokens."""

    reads_tokens = False
    loads_late = False

    def __init__(self, dimensions: int, batch_seconds: float, token_seconds: float) -> None:
        self.dimensions = dimensions
        self.batch_seconds, self.token_seconds = batch_seconds, token_seconds
        self.described = f"simulated: {batch_seconds * 1e3:g} ms a batch and {token_seconds * 1e6:g} µs a token"
        self._free_at = 0.0

    def seconds(self, texts: Sequence[Sequence[int]]) -> float:
        """Return how long a batch takes."""
        return self.batch_seconds + self.token_seconds * len(texts) * max(map(len, texts))

    def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
        """Put a batch behind those that were begun."""
        self._free_at = max(self._free_at, time.perf_counter()) + self.seconds(texts)
        ready_at = self._free_at
        vectors = np.ones((len(texts), self.dimensions), dtype=np.float32)

        def wait() -> Vectors:
            if (left := ready_at - time.perf_counter()) > 0:
                time.sleep(left)
            return vectors

        return wait


def warm(encoder: Encoder, shape: Shape, batch_tokens: int) -> None:
    """Run a batch of each width once: libraries load and choose kernels at the first of a kind, which is nobody's speed."""
    if not encoder.loads_late:
        return
    for width in range(WARM_WIDTHS, shape.positions + 1, WARM_WIDTHS):
        rows = max(1, batch_tokens // width)
        encoder.begin([[0] * width] * rows)()
        encoder.begin([[0] * width] * rows + [[0] * (width - 1)])()  # one that is shorter takes other kernels


def torch_is_there() -> bool:
    """Return whether torch could be imported."""
    return importlib.util.find_spec("torch") is not None


def torch_encoder(shape: Shape, device: str | None = None, seed: int = SEED) -> Any:
    """Return the encoder on a card, or on the CPU where there is none.

    Raises
    ------
    TorchMissingError
        Says how to get torch.
    """
    if not torch_is_there():
        raise TorchMissingError(GET_TORCH)
    from bench.gpu.torch_encoder import TorchEncoder

    return TorchEncoder(shape, device, seed)
