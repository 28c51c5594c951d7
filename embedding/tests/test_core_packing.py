"""Chunks on their way through the queue come out as they went in, and nothing else comes out."""

import base64
import zlib

import pytest

from app.core.packing import UNPACKED_MAX_BYTES, pack_chunks, unpack_chunks
from ml_shared.contracts.embedding import ChunkIn

CHUNKS = [
    ChunkIn(index=number, text=f"words {number} é 😀 \n", start=1, end=2, token_count=3, heading_path=["A", "é"])
    for number in range(1_000)
]


def test_chunks_come_out_as_they_went_in_and_take_a_fraction_meanwhile() -> None:
    packed = pack_chunks(CHUNKS)
    assert unpack_chunks(packed) == CHUNKS
    assert len(packed) < sum(len(chunk.model_dump_json()) for chunk in CHUNKS) / 3
    assert unpack_chunks(pack_chunks([])) == []


@pytest.mark.parametrize(
    "packed",
    [
        "",
        "no base64!",
        base64.b64encode(b"not compressed").decode(),
        base64.b64encode(zlib.compress(b"[]")[:-3]).decode(),
        base64.b64encode(zlib.compress(b" " * (UNPACKED_MAX_BYTES + 1))).decode(),
        base64.b64encode(zlib.compress(b'[{"text": 5}]')).decode(),
    ],
    ids=["empty", "no base64", "not compressed", "cut off", "too much", "no chunks"],
)
def test_what_was_not_packed_here_is_refused(packed: str) -> None:
    with pytest.raises(ValueError):
        unpack_chunks(packed)
