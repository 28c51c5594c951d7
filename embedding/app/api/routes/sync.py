"""Routes that answer with what they were asked for: vectors, and passages."""

import orjson
from fastapi import APIRouter, Depends, Response

from app.api.dependencies import Service
from app.api.schemas import EmbedAnswer, EmbedBody, SearchAnswer, SearchBody
from app.config import settings
from app.core.logic import execute_search
from app.core.texts import execute_embed
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.http.admission import admit
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.sync import within_deadline
from ml_shared.names import Operation
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.logs import job_context

SEARCH_DESCRIPTION = (
    "`vector` goes by meaning, `text` by words, `hybrid` by both. `score` is what orders the results, and what `min_score` "
    "is compared with: the cosine similarity (`vector`), BM25 as a share of its limit, 0.45 for each of the query's words "
    "once (`text`), or a weighted sum of that and of how near the passage is among the nearest hundred (`hybrid`). In `text` "
    'and `hybrid`, `"words in quotation marks"` must stand in the passage as they are, and a `-word` must not. With several '
    "`queries` the score is their fused rank as a share of the highest possible, and `min_score` is compared with each "
    "query's own score. A `rerank_score`, where there is one, orders instead. At most `max_per_document` results are of one "
    "document. A query that is longer than the model reads is cut, with a warning. What was not asked for is left out of a "
    "result."
)

router = APIRouter(route_class=GuardedRoute, tags=["sync"])


@router.post(
    "/embed",
    response_model=EmbedAnswer,
    tags=[Operation.READ],
    summary="Turn texts into vectors",
    description="Vectors come in the order of the texts. A text with more tokens than the model takes is refused with "
    "`422 input_too_long`; nothing is truncated.",
)
async def embed_sync(payload: EmbedBody, service: Service, ctx: CallerContext = Depends(users_and())) -> Response:
    await enforcer.check(ctx)
    admit(payload, ctx, echo_job_id=True)
    with job_context(payload.job_id):
        embedded = await within_deadline(
            execute_embed(service, payload.texts), settings.SYNC_TIMEOUT_SECONDS, "POST /enqueue"
        )
    emit(AuditEvent.EMBED_SYNC_COMPLETE, ctx, job_id=payload.job_id, texts=len(payload.texts), tokens=embedded.tokens)
    answer = {
        "embeddings": embedded.vectors,
        "model": service.model.name,
        "dimensions": service.model.dimensions,
        "token_total": embedded.tokens,
        "job_id": payload.job_id,
    }
    # a response model would take twice as long over the floats
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@router.post(
    "/search",
    response_model=SearchAnswer,
    response_model_exclude_unset=True,
    tags=[Operation.READ],
    summary="Find the passages that answer a query best",
    description=SEARCH_DESCRIPTION,
)
async def search_sync(payload: SearchBody, service: Service, ctx: CallerContext = Depends(users_and())) -> SearchAnswer:
    await enforcer.check(ctx)
    admit(payload, ctx, echo_job_id=True)
    with job_context(payload.job_id):
        result = await within_deadline(
            execute_search(service, ctx.owner, payload),
            settings.SYNC_TIMEOUT_SECONDS,
            "POST /search with a smaller top_k",
        )
    emit(
        AuditEvent.SEARCH_COMPLETE,
        ctx,
        job_id=payload.job_id,
        mode=result.mode,
        top_k=payload.top_k,
        results=len(result.results),
    )
    return SearchAnswer(**{name: getattr(result, name) for name in result.model_fields_set}, job_id=payload.job_id)
