"""Refusals in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class RefusedError(Exception):
    """A request that the endpoint answers with an error.

    Parameters
    ----------
    message
        What was wrong and what would be right.
    status
        HTTP status.
    code
        OpenAI's stable code, where it has one.
    param
        The field that it is about.
    """

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param

    def response(self) -> Response:
        """Return the HTTP answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else None
        return JSONResponse({"error": error}, self.status, headers)


async def answer_refused(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for `RefusedError`."""
    if not isinstance(error, RefusedError):
        raise error
    return error.response()
