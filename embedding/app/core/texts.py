"""Texts, or a model's token ids, into vectors for whoever asked; nothing is kept."""

import asyncio
from collections.abc import Sequence

from app.core.endpoint import Embedded
from app.core.errors import InputTooLongError, TokenIdsError
from app.core.service import Embedding, read_span
from app.core.tokens import ModelTokenizer
from ml_shared.names import Operation
from ml_shared.telemetry import attributes

TEXTS_SPAN = "embed.texts"


async def execute_embed(service: Embedding, texts: Sequence[str]) -> Embedded:
    """Turn texts into vectors, in their order; nothing is kept.

    Raises
    ------
    InputTooLongError
        Naming the first text that has too many tokens, if the tokenizer is here.
    """
    with read_span(TEXTS_SPAN, service) as span:
        try:
            embedded = await service.endpoint.embed(texts, operation=Operation.READ)
        except InputTooLongError as error:
            raise await _which_is_too_long(service, texts, error) from error
        span.set_attribute(attributes.EMBEDDING_TOKENS, embedded.tokens)
        return embedded


async def execute_embed_inputs(service: Embedding, inputs: Sequence[str | list[int]]) -> Embedded:
    """Turn texts, or what the model's tokenizer writes as some token ids, into vectors.

    Raises
    ------
    TokenIdsError
        If the ids are not the model's, or its tokenizer is not here.
    InputTooLongError
        As `execute_embed`.
    """
    texts = [given for given in inputs if isinstance(given, str)]
    if len(texts) < len(inputs):
        texts = await asyncio.to_thread(_read_tokens, service.tokenizer, inputs)
    return await execute_embed(service, texts)


def _read_tokens(tokenizer: ModelTokenizer | None, inputs: Sequence[str | list[int]]) -> list[str]:
    if tokenizer is None:
        raise TokenIdsError("token ids can't be read here; send texts (langchain: check_embedding_ctx_length=False)")
    texts = []
    for place, given in enumerate(inputs):
        try:
            texts.append(given if isinstance(given, str) else tokenizer.text_of(given))
        except TokenIdsError as error:
            raise TokenIdsError(
                f"input {place} (the first is 0): {error.detail}; send texts (langchain: check_embedding_ctx_length=False)"
            ) from error
    return texts


async def _which_is_too_long(service: Embedding, texts: Sequence[str], error: InputTooLongError) -> InputTooLongError:
    most = service.settings.EMBEDDING_MAX_TOKENS
    found = await service.tokenizer.first_too_long(texts, most) if service.tokenizer is not None else None
    if found is None:
        return error
    place, tokens = found
    return InputTooLongError(
        f"text {place} (the first is 0) has {tokens} tokens, and the model takes {most}; split it with POST /chunk first",
        extra={"index": place},
    )
