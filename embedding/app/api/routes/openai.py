"""OpenAI's shape of the same vectors, so that its clients work with this service's address and a platform key."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Response
from starlette.convertors import StringConvertor, register_url_convertor

from app.api.dependencies import Service
from app.api.schemas import (
    OpenAiEmbeddingAnswer,
    OpenAiEmbeddingRequest,
    OpenAiError,
    OpenAiModel,
    OpenAiModels,
)
from app.config import settings
from app.core.errors import DimensionMismatchError, ModelMismatchError
from app.core.service import Embedding
from app.core.texts import execute_embed_inputs
from app.core.vectors import encode_base64
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.http.admission import admit
from ml_shared.http.routing import ForeignContractRoute
from ml_shared.http.sync import within_deadline
from ml_shared.names import Operation
from ml_shared.ratelimit.enforcer import enforcer

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAiError, "description": description}
    for status, description in {
        "400": "A field is wrong, or a text has too many tokens; param says which",
        "401": "No API key, or not a valid one",
        "403": "A valid key that may not do this",
        "404": "There is no such model",
        "413": "The body is longer than this service takes",
        "429": "Over a limit; Retry-After says when to come back",
        "503": "Something that the service needs does not answer",
        "default": "Any other error",
    }.items()
}


class _ModelName(StringConvertor):
    """A model's name in a path, with the slashes within it: `BAAI/bge-m3`."""

    regex = "[^/]+(?:/[^/]+)*"


register_url_convertor("model", _ModelName())
ModelId = Annotated[str, Path(max_length=200, description="with its slashes, if it has any")]

router = APIRouter(route_class=ForeignContractRoute, prefix="/v1", tags=["sync", "openai"], responses=PROBLEMS)


@router.post(
    "/embeddings",
    response_model=OpenAiEmbeddingAnswer,
    tags=[Operation.READ],
    summary="Turn texts into vectors, as OpenAI has it",
    description="Token ids are taken if they are this model's own, and the service has its tokenizer. Errors have OpenAI's "
    "shape; fields that are not known are ignored.",
)
async def embed_openai(
    payload: OpenAiEmbeddingRequest, service: Service, ctx: CallerContext = Depends(users_and())
) -> Response:
    await enforcer.check(ctx)
    admit(payload, ctx, ignore_unknown=True)
    _check_model(payload, service)
    inputs = payload.inputs
    embedded = await within_deadline(
        execute_embed_inputs(service, inputs), settings.SYNC_TIMEOUT_SECONDS, "fewer texts in one request"
    )
    emit(AuditEvent.OPENAI_EMBED_COMPLETE, ctx, texts=len(inputs), tokens=embedded.tokens)
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
    _check_name(payload.model, service)
    if payload.dimensions not in (None, model.dimensions):
        raise ModelMismatchError(
            f"{model.name!r} has {model.dimensions} dimensions, and they are not cut", code=DimensionMismatchError.code
        )


def _check_name(name: str, service: Embedding) -> None:
    if name != service.model.name:
        raise ModelMismatchError(f"the model here is {service.model.name!r}; send that, or ask GET /v1/models")


@router.get("/models", summary="The model that is served", tags=[Operation.READ])
async def list_models(service: Service, ctx: CallerContext = Depends(users_and())) -> OpenAiModels:
    await enforcer.check(ctx)
    emit(AuditEvent.MODELS_LISTED, ctx)
    return OpenAiModels(data=[OpenAiModel(id=service.model.name)])


@router.get("/models/{model_id:model}", summary="A model that is served", tags=[Operation.READ])
async def get_model(model_id: ModelId, service: Service, ctx: CallerContext = Depends(users_and())) -> OpenAiModel:
    await enforcer.check(ctx)
    _check_name(model_id, service)
    emit(AuditEvent.MODEL_READ, ctx, model=model_id)
    return OpenAiModel(id=service.model.name)
