"""OpenAI's shape of the same vectors, so that its clients work with this service's address and a platform key."""

from typing import Any

import orjson
from fastapi import APIRouter, Depends, Response

from app.api.dependencies import Service
from app.api.schemas import OpenAiEmbeddingAnswer, OpenAiEmbeddingRequest, OpenAiModel, OpenAiModels
from app.config import settings
from app.core.errors import DimensionMismatchError, ModelMismatchError
from app.core.logic import Embedding, execute_embed
from app.core.vectors import encode_base64
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.http.admission import admit
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.sync import within_deadline
from ml_shared.names import Operation
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["sync", "openai"])


@router.post(
    "/embeddings",
    response_model=OpenAiEmbeddingAnswer,
    tags=[Operation.READ],
    summary="Turn texts into vectors, as OpenAI has it",
)
async def embed_openai(
    payload: OpenAiEmbeddingRequest, service: Service, ctx: CallerContext = Depends(users_and())
) -> Response:
    await enforcer.check(ctx)
    admit(payload, ctx)
    _check_model(payload, service)
    embedded = await within_deadline(
        execute_embed(service, payload.texts), settings.SYNC_TIMEOUT_SECONDS, "fewer texts in one request"
    )
    emit(AuditEvent.OPENAI_EMBED_COMPLETE, ctx, texts=len(payload.texts), tokens=embedded.tokens)
    vectors: list[Any] = list(embedded.vectors)
    if payload.encoding_format == "base64":
        vectors = [encode_base64(vector) for vector in vectors]
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "model": service.model.name,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _check_model(payload: OpenAiEmbeddingRequest, service: Embedding) -> None:
    model = service.model
    if payload.model != model.name:
        raise ModelMismatchError(f"the model here is {model.name!r}; send that, or ask GET /v1/models")
    if payload.dimensions not in (None, model.dimensions):
        raise ModelMismatchError(
            f"{model.name!r} has {model.dimensions} dimensions, and they are not cut", code=DimensionMismatchError.code
        )


@router.get("/models", summary="The model that is served", tags=[Operation.READ])
async def list_models(service: Service, ctx: CallerContext = Depends(users_and())) -> OpenAiModels:
    await enforcer.check(ctx)
    emit(AuditEvent.MODELS_LISTED, ctx)
    return OpenAiModels(data=[OpenAiModel(id=service.model.name)])
