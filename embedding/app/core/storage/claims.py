"""What a document is when it is written, and the part of writing it that every way of doing so begins with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.core.storage.models import Model

ENSURE_CORPUS: Final = "INSERT INTO corpora (owner, name) VALUES ($1, $2) ON CONFLICT (owner, name) DO NOTHING"

# The key-share lock on the corpus keeps a deletion of the corpus, and its change to another model, out until this transaction
# ends, and lets other writers in. A corpus that was changed takes nothing of a model that it was not changed to.
OPEN_CORPUS: Final = """
    SELECT owner, name FROM corpora
    WHERE owner = $1 AND name = $2 AND (deleted_at IS NULL OR deleted_at < $5)
      AND (model_id IS NULL OR NOT model_id = ANY({others}::smallint[]) AND NOT (switched AND model_id <> $6))
    FOR KEY SHARE
"""

# of a corpus' row: what its documents are stemmed by, a new one appended
LANGUAGES: Final = "CASE WHEN {0} = ANY(languages) THEN languages ELSE array_append(languages, {0}::text) END"

_DESCRIBED: Final = (
    *("title", "final_url", "canonical_url", "content_type", "language", "author", "published_at", "content_hash"),
    "fetched_at",
)
_RENEWED: Final = (
    "as_of",
    "submitted_at",
    "model_id",
    *_DESCRIBED,
    "metadata",
    "job_id",
    "trace_id",
    "chunking_hash",
    "passage_prefix",
)


class _ClaimValues(NamedTuple):
    columns: str
    placeholders: str


CLAIM_VALUES: Final = _ClaimValues(
    columns=", ".join(("owner", "corpus", "url", *_RENEWED)),
    # the first two are owner and corpus, as `OPEN_CORPUS` has them
    placeholders=", ".join(f"${number}" for number in range(3, 4 + len(_RENEWED))),
)
"""The columns that `DocumentWrite.claim_values` is for, and the places of its values but the first two."""

# The row that it takes or makes is the lock that orders concurrent replaces of one document.
CLAIM_DOCUMENT: Final = f"""
WITH corpus AS MATERIALIZED ({OPEN_CORPUS.format(others="$21")})
INSERT INTO documents ({CLAIM_VALUES.columns})
SELECT owner, name, {CLAIM_VALUES.placeholders} FROM corpus
ON CONFLICT (owner, corpus, url) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in _RENEWED)}
WHERE documents.as_of <= EXCLUDED.as_of
  AND (documents.deleted_at IS NULL OR documents.deleted_at < EXCLUDED.submitted_at)
RETURNING id, chunk_count, token_count, indexed_at IS NOT NULL AS was_live
"""  # noqa: S608 - column names and places of our own


@dataclass(frozen=True, slots=True)
class DocumentWrite:
    """A version of a document that is to stand, if none newer does. `url` is the normal form.

    A corpus that answers from one of `other_models` takes no vectors of this write's model. `chunking_hash` and
    `passage_prefix` are what its chunks were made with.
    """

    owner: str
    corpus: str
    url: str
    as_of: datetime
    submitted_at: datetime
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any]
    job_id: str | None
    trace_id: str | None
    other_models: Sequence[int] = ()
    chunking_hash: str | None = None
    passage_prefix: str = ""

    def claim_values(self, model: Model) -> tuple[Any, ...]:
        """The values of `CLAIM_VALUES`."""
        described = tuple(self.fields.get(name) for name in _DESCRIBED)
        return (
            self.owner, self.corpus, self.url, self.as_of, self.submitted_at, model.id,
            *described, dict(self.metadata), self.job_id, self.trace_id, self.chunking_hash, self.passage_prefix,
        )  # fmt: skip
