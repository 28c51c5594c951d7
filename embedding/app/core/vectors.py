"""Vectors as the endpoint sends them, checked before anything is kept or compared."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DimensionMismatchError, EndpointAnswerError, InvalidVectorError

Vectors = NDArray[np.float32]
"""Shape (texts, dimensions)."""
HALF_OVERFLOWS_AT: Final = 65_520.0
# what is at least this rounds to infinity as a half-float: half a step above the largest one, 65,504
HALF_VANISHES_AT: Final = 2.0**-25
# what is at most this rounds to zero: half of the smallest one


def parse_vectors(items: Any, *, count: int, dimensions: int) -> Vectors:
    """Return the vectors of an OpenAI-compatible `data` list, in the order of the inputs.

    Parameters
    ----------
    items
        Objects with `index` and `embedding`, the latter as floats or as base64 of little-endian float32.
    count
        How many texts were sent.
    dimensions
        How long each vector has to be.

    Raises
    ------
    EndpointAnswerError
        If there are more, fewer or other vectors than inputs, or one can't be read.
    DimensionMismatchError
        If a vector has another length.
    InvalidVectorError
        If a vector has a component that is not finite, as half-precision either, or is all zero.
    """
    if not isinstance(items, list) or len(items) != count:
        found = len(items) if isinstance(items, list) else "no list of"
        raise EndpointAnswerError(f"the endpoint answered {found} vectors for {count} texts")
    try:
        by_index = {item["index"]: item["embedding"] for item in items}
    except (TypeError, KeyError) as error:
        raise EndpointAnswerError("the endpoint's vectors lack index or embedding") from error
    if by_index.keys() != set(range(count)):
        raise EndpointAnswerError("the endpoint's vectors do not answer the texts one to one")
    vectors = np.empty((count, dimensions), dtype=np.float32)
    for index in range(count):
        vector = _parse(by_index[index])
        if vector.shape != (dimensions,):
            raise DimensionMismatchError(
                f"the endpoint's vectors have {vector.size} dimensions, EMBEDDING_DIMENSIONS is {dimensions}"
            )
        vectors[index] = vector
    _check_values(vectors)
    return vectors


def _parse(embedding: str | Sequence[float]) -> Vectors:
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        vector = np.asarray(embedding, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error) as error:
        raise EndpointAnswerError("the endpoint's vectors are neither floats nor base64") from error
    if vector.ndim != 1:
        raise EndpointAnswerError("the endpoint's vectors are neither floats nor base64")
    return vector


def _check_values(vectors: Vectors) -> None:
    # by each vector's largest component: to make half-floats of all of them takes twenty times as long
    largest = np.abs(vectors).max(axis=1)
    if not (largest < HALF_OVERFLOWS_AT).all():  # what is not a number is not smaller either
        raise InvalidVectorError("the endpoint answered a vector with a component that is not a finite half-float")
    if not (largest > HALF_VANISHES_AT).all():
        raise InvalidVectorError("the endpoint answered a vector of length zero, which has no direction to compare")


def encode_base64(vector: Vectors) -> str:
    """Return a vector as OpenAI's `encoding_format=base64` has it."""
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
