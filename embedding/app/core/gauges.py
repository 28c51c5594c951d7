"""What a scrape reads from the database."""

from app.core.metrics import (
    INDEXES,
    ROWS,
    STORE_BYTES,
    VECTORS_BYTES,
    VECTORS_SEGMENTS,
    VECTORS_STORED,
    VECTORS_TAIL,
)
from app.core.service import Embedding
from app.core.storage.models import read_stored_vectors
from app.core.storage.segments import read_relations, read_tails
from ml_shared.telemetry.readings import Values


async def read_gauges(service: Embedding) -> Values:
    """Return what a scrape reads from the database."""
    stored = await read_stored_vectors(service.pool)
    tails = await read_tails(service.pool, service.settings.EXACT_SEARCH_MAX_ROWS)
    relations = await read_relations(service.pool)
    none: dict[tuple[str, ...], float] = {(of.model,): 0.0 for of in stored}
    return {
        VECTORS_STORED: {(of.model,): float(of.vectors) for of in stored},
        VECTORS_BYTES: {(of.model,): float(of.bytes) for of in stored},
        VECTORS_TAIL: none | {(model,): float(tail) for model, tail, _ in tails},
        VECTORS_SEGMENTS: none | {(model,): float(count) for model, _, count in tails},
        STORE_BYTES: {
            (name, part): float(size)
            for name, rows, indexes in relations
            for part, size in ((ROWS, rows), (INDEXES, indexes))
        },
    }
