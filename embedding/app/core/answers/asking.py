"""What a search looks for: with the vectors of the model that its corpora answer from, or of two while they change."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.core.answers.look import Look
from app.core.answers.questions import Asker, Questions
from app.core.errors import DocumentNotFoundError
from app.core.service import Embedding, Served, read_span
from app.core.storage.corpora import model_of
from app.core.storage.search import Scope
from ml_shared.contracts.embedding import SearchRequest

QUERY_SPAN = "embed.query"


async def questions_of(
    service: Embedding,
    owner: str,
    request: SearchRequest,
    corpora: Sequence[dict[str, Any]],
    languages: Sequence[str],
    seconds: dict[str, float],
) -> Questions:
    """Return what is looked for: with the vectors of the model that the corpora answer from, or of both while they change."""
    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for corpus in corpora:
        by_model[service.serving(corpus["model"]).model.name].append(corpus)
    parts = [(service.serving(name), part) for name, part in sorted(by_model.items(), key=lambda item: -len(item[1]))]
    scopes = [
        Scope(owner, [corpus["name"] for corpus in part], served.model, request.filters) for served, part in parts
    ]
    if request.like is not None and len(parts) > 1:
        return await _like(service, request, parts, scopes, languages, seconds)
    first = scopes[0] if len(scopes) == 1 else replace(scopes[0], corpora=[corpus["name"] for corpus in corpora])
    questions = await _asker(service, parts[0][0], seconds).asked(request, first, languages)
    for (served, part), scope in zip(parts[1:], scopes[1:], strict=True):
        beside = await _asker(service, served, seconds).asked(request, scope, languages)
        questions.ask_beside(beside, rows=sum(corpus["chunks"] for corpus in part))
    return questions


async def _like(
    service: Embedding,
    request: SearchRequest,
    parts: Sequence[tuple[Served, Any]],
    scopes: Sequence[Scope],
    languages: Sequence[str],
    seconds: dict[str, float],
) -> Questions:
    """Return what is like a chunk among the corpora that answer from the chunk's own model."""
    served_in = [(served, scope) for (served, _), scope in zip(parts, scopes, strict=True)]
    if request.like is not None and request.like.corpus_name is not None:
        # while corpora change, a chunk has vectors of both models: its corpus says which is its own
        own = await model_of(service.pool, scopes[0].owner, request.like.corpus_name)
        served_in.sort(key=lambda one: one[0].model.name != own)
    for served, scope in served_in[:-1]:
        with contextlib.suppress(DocumentNotFoundError):
            return await _asker(service, served, seconds).asked(request, scope, languages)
    served, scope = served_in[-1]
    return await _asker(service, served, seconds).asked(request, scope, languages)


def _asker(service: Embedding, served: Served, seconds: dict[str, float]) -> Asker:
    return Asker(
        served.settings,
        service.pool,
        served.endpoint,
        service.tokenizer if served.model == service.model else None,
        embedding=lambda: _embedding(service, seconds),
    )


@contextmanager
def _embedding(service: Embedding, seconds: dict[str, float]) -> Iterator[None]:
    with Look(seconds).timed("embed"), read_span(QUERY_SPAN, service):
        yield
