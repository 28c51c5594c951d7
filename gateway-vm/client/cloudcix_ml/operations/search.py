"""Search."""

from collections.abc import Sequence

from cloudcix_ml.core.effects import SYNC_TIMEOUT_SECONDS, Operation
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.search import LikeChunk, SearchAnswer, SearchFilters, SearchMode, SearchRequest
from cloudcix_ml.operations.requests import EMBEDDING, post


def search(
    session: Session,
    query: str | None = None,
    *,
    corpus_name: str | None = None,
    corpora: Sequence[str] | None = None,
    queries: Sequence[str] | None = None,
    like: LikeChunk | None = None,
    mode: SearchMode | str | None = None,
    top_k: int | None = None,
    offset: int | None = None,
    filters: SearchFilters | None = None,
    min_score: float | None = None,
    max_per_document: int | None = 3,
    rerank: bool | None = None,
    context: int | None = None,
    highlights: bool | None = None,
    explain: bool | None = None,
    facets: Sequence[str] | None = None,
) -> Operation[SearchAnswer]:
    """Find the passages that answer a question best.

    Parameters
    ----------
    query, queries, like
        What is asked; several ways to ask it; or a chunk to find the like of.
    corpus_name, corpora
        Where: one corpus, or up to 20; `default` unless said.
    mode
        `hybrid`, by meaning and by words; `vector` or `text` for one of them.
    top_k, offset
        How many passages, and how many to pass over.
    filters
        Which documents are searched.
    min_score
        Leave out what scores less.
    max_per_document
        How many passages of one document; None for any number.
    rerank
        Whether a reranker orders the best ones; as the platform has it unless said.
    context
        How many chunks before and after each are shown, up to 5.
    highlights
        Tell where the query's words stand.
    explain
        Tell each passage's rank by meaning and by words.
    facets
        Metadata keys whose values are counted.
    """
    said = {
        "query": query,
        "queries": queries and list(queries),
        "like": like,
        "corpus_name": corpus_name or (None if corpora else "default"),
        "corpora": corpora and list(corpora),
        "mode": mode,
        "top_k": top_k,
        "offset": offset,
        "filters": filters,
        "min_score": min_score,
        "rerank": rerank,
        "context": context,
        "highlights": highlights,
        "explain": explain,
        "facets": facets and list(facets),
    }
    chosen = {name: value for name, value in said.items() if value is not None}
    body = SearchRequest(**chosen, max_per_document=max_per_document)
    request = post(f"{EMBEDDING}/search", body, timeout_seconds=SYNC_TIMEOUT_SECONDS)
    return (yield from call(session, request, SearchAnswer))
