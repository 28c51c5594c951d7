"""What the vector of a passage is made of: its text, and the headings above it, a table's header among them.

The headings' own vector is added to the text's, a fifth of its weight. They take no room of a passage that way, so its tokens are
those that were counted, and each path of headings is embedded once a document, however many passages stand below it. README.md has what
else was measured.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pgvector import HalfVector

from app.core.endpoint import EmbeddingEndpoint
from app.core.vectors import Vectors
from ml_shared.names import Operation

HEADINGS_WEIGHT: Final = 0.2
MAX_PATH_CHARACTERS: Final = 128
# the innermost; of most headings that is all, and no model reads fewer tokens than these are at the worst
MAX_HEADER_CHARACTERS: Final = 96
# of a table's
BETWEEN: Final = " > "
_BARS: Final = re.compile(r"[|:]|-{3,}")


def path_of(headings: Sequence[str], context: str | None = None) -> str:
    """Return headings, and the header of the table that goes on below them, as the model reads them; empty without any."""
    said = list(headings)
    if context is not None:
        said.append(" ".join(_BARS.sub(" ", context).split())[:MAX_HEADER_CHARACTERS])
    return BETWEEN.join(said)[-MAX_PATH_CHARACTERS:].strip()


async def passage_vectors(
    endpoint: EmbeddingEndpoint,
    prefix: str,
    texts: Sequence[str],
    paths: Sequence[str],
    *,
    token_counts: Sequence[int] | None = None,
) -> list[HalfVector]:
    """Return a vector for each passage.

    Parameters
    ----------
    prefix
        What the model wants before a passage.
    paths
        Of each, as `path_of` makes it.
    token_counts
        What the model's own tokenizer counted of each text behind the prefix, if that is known.

    Raises
    ------
    ServiceError
        As `EmbeddingEndpoint.embed`.
    """
    every = [path for path in dict.fromkeys(paths) if path]
    said = [prefix + text for text in texts]
    if not every:
        embedded = await endpoint.embed(said, operation=Operation.WRITE, token_counts=token_counts)
        return [HalfVector(vector) for vector in embedded.vectors]
    try:
        async with asyncio.TaskGroup() as group:
            of_texts = group.create_task(endpoint.embed(said, operation=Operation.WRITE, token_counts=token_counts))
            of_paths = group.create_task(endpoint.embed([prefix + path for path in every], operation=Operation.WRITE))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    above_of = dict(zip(every, _of_length_one(of_paths.result().vectors), strict=True))
    made = _of_length_one(of_texts.result().vectors)
    return [
        HalfVector(vector + HEADINGS_WEIGHT * above_of[path] if path else vector)
        for vector, path in zip(made, paths, strict=True)
    ]


def _of_length_one(vectors: Vectors) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
