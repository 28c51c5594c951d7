"""What a new version of a document changes: which chunks stay, move, go and come."""

import hashlib
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.meaning import path_of
from ml_shared.contracts.chunking import Chunk
from ml_shared.contracts.embedding import ChunkIn
from ml_shared.contracts.values import storable

Piece = Chunk | ChunkIn
"""A chunk as the chunking stage, or a caller, gives it."""


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk as it is to stand."""

    index: int
    text: str
    text_hash: bytes
    start: int
    end: int
    token_count: int
    heading_path: tuple[str, ...]
    context: str | None = None


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it stands, without its text."""

    id: int
    index: int
    text_hash: bytes
    start: int
    end: int
    token_count: int
    heading_path: tuple[str, ...]


@dataclass(slots=True)
class Difference:
    """`kept` are the rows that stay, moved ones included."""

    added: list[NewChunk] = field(default_factory=list)
    moved: list[tuple[int, NewChunk]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    kept: list[tuple[int, NewChunk]] = field(default_factory=list)


def text_hash(text: str, prefix: str = "", path: str = "") -> bytes:
    """Return what tells vectors apart: SHA-256 of a text, of what is put before it for the model, and of the headings above."""
    read = f"{prefix}\0{text}" if prefix or path else text  # no stored text has a zero
    if path:
        read = f"{read}\0{path}"
    return hashlib.sha256(read.encode()).digest()


def new_chunks(chunks: Sequence[Piece], prefix: str = "") -> list[NewChunk]:
    """Return chunks in the order of their index, hashed, as they are to be stored.

    Parameters
    ----------
    prefix
        What is put before each for the model: another one makes another vector.
    """
    made = []
    for chunk in sorted(chunks, key=lambda chunk: chunk.index):
        text = storable(chunk.text)
        headings = tuple(storable(heading) for heading in chunk.heading_path)
        context = storable(chunk.context) if chunk.context else None
        made.append(
            NewChunk(
                chunk.index,
                text,
                text_hash(text, prefix, path_of(headings, context)),
                chunk.start,
                chunk.end,
                chunk.token_count,
                headings,
                context,
            )
        )
    return made


def difference(stored: Sequence[StoredChunk], wanted: Sequence[NewChunk]) -> Difference:
    """Return the least change from what stands to what is wanted.

    A stored chunk stays where a wanted one has the same text, each at most once, in order; one that stays is only
    updated if its position or headings changed.
    """
    by_hash: defaultdict[bytes, deque[StoredChunk]] = defaultdict(deque)
    for there in sorted(stored, key=lambda there: there.index):
        by_hash[there.text_hash].append(there)
    change = Difference()
    for chunk in wanted:
        candidates = by_hash[chunk.text_hash]
        if not candidates:
            change.added.append(chunk)
            continue
        stays = candidates.popleft()
        change.kept.append((stays.id, chunk))
        if _position(stays) != _position(chunk):
            change.moved.append((stays.id, chunk))
    change.removed = [chunk.id for left in by_hash.values() for chunk in left]
    return change


def _position(chunk: StoredChunk | NewChunk) -> tuple[int, int, int, int, tuple[str, ...]]:
    return chunk.index, chunk.start, chunk.end, chunk.token_count, chunk.heading_path
