"""Errors of `/v1` in OpenAI's shape, whoever made them: the routes, the guards before them, or nobody who foresaw them."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import DimensionMismatchError, InputTooLongError, ModelMismatchError
from ml_shared.errors import InvalidError, NotFoundError, RateLimitedError
from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE
from ml_shared.http.problems import unexpected_problem

PREFIX: Final = "/v1/"
_STATUS: Final = {422: 400}
# OpenAI has 400 for what is wrong with a request
_STATUS_OF_CODE: Final = {ModelMismatchError.code: 404}
_CODE: Final = {
    ModelMismatchError.code: "model_not_found",
    InputTooLongError.code: "context_length_exceeded",
    RateLimitedError.code: "rate_limit_exceeded",
    InvalidError.code: None,
    NotFoundError.code: None,
}
# where OpenAI has a word, or none; elsewhere ours
_PARAM: Final = {
    ModelMismatchError.code: "model",
    DimensionMismatchError.code: "dimensions",
    InputTooLongError.code: "input",
    "unknown_tokens": "input",
}
_TYPE: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CONTENT_TYPE: Final = b"content-type"
_LENGTH: Final = b"content-length"


class OpenAiErrors:
    """Middleware that says errors below `/v1/` as OpenAI's clients read them.

    Within the one that gives requests their ids, which logs and counts what is answered in the end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            if answer.begun:
                raise
            await unexpected_problem(error, scope["path"])(scope, receive, answer.send)


class _Answer:
    """An answer on its way; a problem document is held back until it is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()
        self.begun = False

    async def send(self, message: Message) -> None:
        self.begun = True
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._translated(self._start)

    async def _translated(self, start: Message) -> None:
        status, error = openai_error(orjson.loads(bytes(self._body)))
        body = orjson.dumps({"error": error})
        headers = [(name, value) for name, value in start["headers"] if name.lower() not in (_CONTENT_TYPE, _LENGTH)]
        headers += [(_CONTENT_TYPE, b"application/json"), (_LENGTH, str(len(body)).encode())]
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def openai_error(problem: Mapping[str, Any]) -> tuple[int, dict[str, str | None]]:
    """Return a problem document's status and error as OpenAI has them."""
    code: str = problem["code"]
    # a length that the model does not have is wrong in the request here, and the endpoint's fault elsewhere
    status = _STATUS_OF_CODE.get(code, _STATUS.get(problem["status"], problem["status"]))
    fields = problem.get("errors") or []
    message = problem["detail"]
    if fields:
        named = ((_name(field["field"]), field["message"]) for field in fields[:3])
        message = "; ".join(f"{name}: {said}" if name else said for name, said in named)
    param = _name(fields[0]["field"]).split(".")[0] if fields else _PARAM.get(code)
    kind = _TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    return status, {"message": message, "type": kind, "param": param or None, "code": _CODE.get(code, code)}


def _name(field: str) -> str:
    """Return a field's name as its sender knows it: `body.input.list[str].3` is `input.3`."""
    parts = [part for part in field.split(".") if part != "body" and "[" not in part and part not in ("str", "int")]
    return ".".join(parts)


def _is_problem(start: Message) -> bool:
    return any(
        name.lower() == _CONTENT_TYPE and value.startswith(PROBLEM_MEDIA_TYPE.encode())
        for name, value in start["headers"]
    )
