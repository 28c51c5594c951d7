"""A document's chunks on their way through the queue: packed, since its message is copied several times on its way.

As they are, 14 MB of them take 100 ms of an API process that nobody else can have meanwhile, and 19 MB of Redis, twice.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter

from ml_shared.contracts.embedding import ChunkIn

LEVEL: Final = 1
# text to a third or less, at a hundred megabytes a second, and without Python's lock
UNPACKED_MAX_BYTES: Final = 64 * 2**20
# above what a body may have; nobody but this service writes such a text
_CHUNKS: Final = TypeAdapter(list[ChunkIn])


def pack_chunks(chunks: Sequence[ChunkIn]) -> str:
    """Return chunks as a text: their JSON, compressed, in base64. For a thread: it takes a while."""
    return base64.b64encode(zlib.compress(_CHUNKS.dump_json(list(chunks), exclude_none=True), LEVEL)).decode()


def unpack_chunks(packed: str) -> list[ChunkIn]:
    """Return the chunks that were packed.

    Raises
    ------
    ValueError
        If the text is nothing that `pack_chunks` made, or holds more than a request could have.
    """
    unpacking = zlib.decompressobj()
    try:
        written = unpacking.decompress(base64.b64decode(packed, validate=True), UNPACKED_MAX_BYTES)
    except zlib.error as error:
        raise ValueError("not packed chunks") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError("not packed chunks, or too many")
    return _CHUNKS.validate_json(written)
