"""The models whose vectors the database holds, each with its dimensions."""

from dataclasses import dataclass

import asyncpg

from app.core.errors import DimensionMismatchError, ModelNotPreparedError

_ADVISORY_LOCK = 0x6D6C_6D6F  # "mlmo": one preparation at a time

HALF_FLOAT_BYTES = 2
VECTOR_HEADER_BYTES = 8
# what a `halfvec` takes: 2 * dimensions + 8

# the corpora's own counts, a row each: counting chunks would read all of them
STORED_VECTORS = """
SELECT models.name, models.dimensions, coalesce(sum(corpora.chunk_count), 0)::bigint AS vectors
FROM models LEFT JOIN corpora ON corpora.model_id = models.id AND corpora.live
GROUP BY models.name, models.dimensions
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the database knows it."""

    id: int
    name: str
    dimensions: int

    @property
    def distance(self) -> str:
        """SQL of the cosine distance between a row `c` of `vectors` and the vector `$1`, spelled as the indexes have it."""
        return f"(c.embedding::halfvec({self.dimensions}) <=> $1::halfvec({self.dimensions}))"


def _checked(row: asyncpg.Record, dimensions: int) -> Model:
    if row["dimensions"] != dimensions:
        raise DimensionMismatchError(
            f"the database holds {row['dimensions']} dimensions for the model {row['name']!r}, EMBEDDING_DIMENSIONS "
            f"is {dimensions}; set it to {row['dimensions']}, or give another model another EMBEDDING_MODEL"
        )
    return Model(row["id"], row["name"], row["dimensions"])


async def prepare_model(connection: asyncpg.Connection, name: str, dimensions: int) -> Model:
    """Record a model; do nothing if that was done.

    Raises
    ------
    DimensionMismatchError
        If the model was recorded with other dimensions.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        await connection.execute(
            "INSERT INTO models (name, dimensions) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, dimensions
        )
        row = await connection.fetchrow("SELECT id, name, dimensions FROM models WHERE name = $1", name)
        return _checked(row, dimensions)


async def read_model(pool: asyncpg.Pool, name: str, dimensions: int) -> Model:
    """Return the configured model.

    Raises
    ------
    ModelNotPreparedError
        If `python -m app.migrate` has not met it yet.
    DimensionMismatchError
        If the database and the settings disagree.
    """
    row = await pool.fetchrow("SELECT id, name, dimensions FROM models WHERE name = $1", name)
    if row is None:
        raise ModelNotPreparedError(f"the database does not know the model {name!r}; run: python -m app.migrate")
    return _checked(row, dimensions)


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """How many vectors of a model are stored, and their bytes without the index."""

    model: str
    vectors: int
    bytes: int


async def read_stored_vectors(pool: asyncpg.Pool) -> list[StoredVectors]:
    """Return how much of each model is stored. A corpus counts whole as its latest document's model."""
    return [
        StoredVectors(row["name"], row["vectors"], row["vectors"] * vector_bytes(row["dimensions"]))
        for row in await pool.fetch(STORED_VECTORS)
    ]


def vector_bytes(dimensions: int) -> int:
    """Return what a stored vector takes, without an index."""
    return HALF_FLOAT_BYTES * dimensions + VECTOR_HEADER_BYTES
