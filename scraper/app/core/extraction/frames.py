"""How the service and its extraction processes talk: frames of a length and so many bytes, over a pipe."""

import struct
from typing import Final

LENGTH: Final = struct.Struct(">I")
FRAME_MAX_BYTES: Final = 256 * 2**20
# no page and no extract comes near it; a length beyond is not one of ours


def frame(payload: bytes) -> bytes:
    """Return a payload with its length before it."""
    return LENGTH.pack(len(payload)) + payload
