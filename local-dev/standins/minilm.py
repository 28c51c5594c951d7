"""all-MiniLM-L6-v2 on onnxruntime: texts to token counts, and token ids to vectors.

Nothing is ever cut: what does not fit the model's positions is the caller's to refuse. Tokens are counted with the
two special ones, as chunking counts them.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from standins.weights import WEIGHTS_SHA256, tokenizer_file, weights_file

Vectors = NDArray[np.float32]

GRAPH_VERSION = 1
# raised when the graph that bert_graph builds changes, so that no older cached one is taken for it
BATCH_TOKENS = 1_024
# padded tokens of one run: larger ones are no faster, need more memory, and a search query waits for the one before it


def _build(path: Path) -> None:
    """Write the graph in a process of its own: building holds the weights three times over, serving only once."""
    subprocess.run(
        [sys.executable, "-m", "standins.minilm", str(path.resolve())], check=True, cwd=Path(__file__).parents[1]
    )


def write_graph(path: Path) -> None:
    """Build the graph from the verified weights and put it in place at once, so that no half-written file is read."""
    import onnx  # only the build needs them, and they are a third of its memory
    from safetensors.numpy import load_file

    from standins.bert_graph import build_graph

    model = build_graph(load_file(weights_file()))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        onnx.save(model, name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the fleet shares these cores
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class MiniLm:
    """The loaded model. Not thread-safe by contract: use it from one thread."""

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, cache: Path, *, threads: int | None = None) -> Self:
        """Load the model, building its graph into `cache` when it is not there.

        Parameters
        ----------
        cache
            A folder of our own; the graph's file is named after the weights that it came from.
        threads
            Cores that one batch may use; by default all, at most four.

        Raises
        ------
        WeightsError
            If the model's package is missing or its files are not the published ones.
        """
        threads = threads or min(os.cpu_count() or 1, 4)
        weights_file()
        path = cache / f"minilm-{WEIGHTS_SHA256[:16]}-v{GRAPH_VERSION}.onnx"
        if not path.is_file():
            _build(path)
        try:
            session = _session(path, threads)
        except Exception:  # noqa: BLE001  onnxruntime raises bare classes of its own; a damaged cache is built anew
            path.unlink(missing_ok=True)
            _build(path)
            session = _session(path, threads)
        tokenizer = Tokenizer.from_file(str(tokenizer_file()))
        tokenizer.no_truncation()  # the file asks for 128 tokens, cut and padded
        tokenizer.no_padding()
        return cls(session, tokenizer)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, the special tokens included, however many they are."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector of length one for each list of token ids, in one run of the model."""
        longest = max(len(ids) for ids in batch)
        input_ids = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, ids in enumerate(batch):
            input_ids[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        (vectors,) = self._session.run(["embedding"], {"input_ids": input_ids, "attention_mask": mask})
        return np.asarray(vectors, dtype=np.float32)


def batches(lengths: Sequence[int], *, budget: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Group texts of like length, given by their positions: padding to the longest then costs next to nothing.

    Parameters
    ----------
    lengths
        Token counts.
    budget
        Most padded tokens a group has; a longer text is a group by itself.
    """
    group: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and lengths[position] * (len(group) + 1) > budget:
            yield group
            group = []
        group.append(position)
    if group:
        yield group


if __name__ == "__main__":
    write_graph(Path(sys.argv[1]))
