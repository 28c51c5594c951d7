"""Undoing a response's Content-Encoding, never making more than was asked for.

A gigabyte of zeros is a megabyte of gzip. So each step is told how much it may produce, and stops there.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from ml_shared.errors import UpstreamError

ACCEPT_ENCODING: Final = "gzip, deflate"
# br and zstd would save little on single pages, and zlib alone can be told where to stop
_STEP_BYTES: Final = 65_536
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_GZIP_MAGIC: Final = b"\x1f\x8b"


class Decoder:
    """Decodes one body, part by part.

    Parameters
    ----------
    content_encoding
        The header's value; empty for none.

    Raises
    ------
    UpstreamError
        If the body is encoded in a way that was not asked for, or not as the header says.
    """

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        layers = [name for name in names if name not in ("", "identity")]
        if len(layers) > 1 or any(name not in ("gzip", "x-gzip", "deflate") for name in layers):
            raise UpstreamError(f"the page came encoded as {content_encoding[:100]!r}; we accept {ACCEPT_ENCODING}")
        self._encoded = bool(layers)
        self._raw_deflate_possible = layers == ["deflate"]
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._started = False
        self._ended = False
        self._between = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what this part decodes to, at most 64 KiB at a time; the caller may stop at any point."""
        if not self._encoded:
            yield data
            return
        self._started = self._started or bool(data)
        while not self._ended:
            if self._inflate.eof:
                data = self._next_member(data)
                if not data:
                    return
            produced = self._step(data)
            data = self._inflate.unconsumed_tail
            if produced:
                self._raw_deflate_possible = False
                yield produced
            if self._inflate.eof:
                data = self._inflate.unused_data
            elif not data and len(produced) < _STEP_BYTES:
                return  # all of the input is used, and nothing is held back for want of room

    def finish(self) -> None:
        """Check that the body was whole."""
        if self._started and not (self._ended or self._inflate.eof):
            raise UpstreamError("the page ended in the middle of its compression")

    def _step(self, data: bytes) -> bytes:
        try:
            return self._inflate.decompress(data, _STEP_BYTES)
        except zlib.error as error:
            if not self._raw_deflate_possible:
                raise UpstreamError("the page's compression is damaged") from error
        # "deflate" means zlib, but some servers send the bare stream
        self._raw_deflate_possible = False
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._step(data)

    def _next_member(self, data: bytes) -> bytes:
        """Go on after the end of a stream: gzip allows another one. What else follows is padding."""
        self._between += data
        if len(self._between) < len(_GZIP_MAGIC):
            return b""
        if not self._between.startswith(_GZIP_MAGIC):
            self._ended = True
            return b""
        data, self._between = self._between, b""
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        return data
