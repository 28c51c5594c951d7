"""Chunks' vectors, a row for each model that made one."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from pgvector import HalfVector

from app.core.storage.models import Model

COLUMNS: Final = ("owner", "corpus", "document_id", "id", "model_id", "embedding")

# what a model that is no longer served made of a document
FORGET_VECTORS: Final = """
DELETE FROM vectors WHERE owner = $1 AND corpus = $2 AND document_id = $3 AND NOT model_id = ANY($4::smallint[])
"""


async def write_vectors(
    connection: Any, key: tuple[str, str, UUID], model: Model, vectors: Sequence[tuple[int, HalfVector]]
) -> None:
    """Write vectors of some of a document's chunks, by the chunks' ids."""
    if vectors:
        records = [(*key, chunk_id, model.id, vector) for chunk_id, vector in vectors]
        await connection.copy_records_to_table("vectors", columns=COLUMNS, records=records)
