"""Content encodings, and how much they may make."""

import gzip
import zlib

import pytest

from app.core.fetching.decoding import Decoder
from ml_shared.errors import UpstreamError

TEXT = b"".join(b"line %d of a page\n" % number for number in range(20_000))


def decoded(data: bytes, encoding: str, size: int = 1_000) -> bytes:
    decoder = Decoder(encoding)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    found = b"".join(part for piece in parts for part in decoder.feed(piece))
    decoder.finish()
    return found


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("size", [2, 7, 1_000, 10_000_000])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])),
        ("gzip", gzip.compress(TEXT) + b"\0\0\0"),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("gzip", gzip.compress(b"\0" * 1_000_000)),
    ],
)
def test_what_was_encoded_comes_back_whole(encoding: str, data: bytes, size: int) -> None:
    expected = b"\0" * 1_000_000 if len(data) < 2_000 else TEXT
    assert decoded(data, encoding, size) == expected


def test_an_empty_body_is_empty_whatever_its_header_says() -> None:
    assert decoded(b"", "gzip") == b""


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(UpstreamError):
        Decoder(encoding)


@pytest.mark.parametrize(
    "data", [gzip.compress(TEXT)[:-20], b"not gzip at all", gzip.compress(TEXT)[:500] + b"x" * 500]
)
def test_a_damaged_body_is_an_error(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        decoded(data, "gzip")


def test_a_bomb_is_given_out_in_small_parts() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, compresslevel=1)
    assert max(len(part) for part in Decoder("gzip").feed(bomb)) <= 65_536
