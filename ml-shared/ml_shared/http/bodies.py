"""A request's body: not a byte of it before its caller is admitted, and then as much as he may send, in time.

BodyMiddleware   refuses what its headers alone condemn, and seals the body
GuardedRoute     (`http.routing`) identifies and counts the caller, and breaks the seal
Body             counts what comes, against the route's and the tier's limit and the bytes that are in flight
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_shared.auth.context import CallerContext
from ml_shared.auth.request import current_request
from ml_shared.errors import (
    IncompleteError,
    InternalError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from ml_shared.http.problems import RefusalError, problem_of
from ml_shared.settings import ServiceSettings

IDLE_SECONDS: Final = 30.0
# without a byte of a body; what nginx allows, too
SMALL_BYTES: Final = 64 * 1024
# shorter bodies are not counted as in flight: uvicorn holds as much of every connection
BYTES_IN_FLIGHT: Final = 128 * 2**20
# of one process; parsed, a body may take three times its length
OWNER_SHARE: Final = 4
USERS_SHARE: Final = 0.75
# the rest is room for the fleet's own services
RETRY_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How long bodies may be.

    Attributes
    ----------
    max_bytes
        Longest body.
    routes
        Other limits, by path; one also holds for the paths below it.
    tiers
        Further limits for users, by Membership's tier; `default` is for the rest. They raise no route's.
    in_flight_bytes
        Longest bodies of one process together, from the first byte to the end of the answer.
    """

    max_bytes: int
    routes: Mapping[str, int] = field(default_factory=dict)
    tiers: Mapping[str, int] = field(default_factory=dict)
    in_flight_bytes: int = BYTES_IN_FLIGHT

    @classmethod
    def of(cls, settings: ServiceSettings, routes: Mapping[str, int] | None = None) -> Self:
        """Return the limits that a service's settings name, with those of routes that need less, or more."""
        return cls(settings.MAX_BODY_BYTES, routes or {}, settings.MAX_BODY_BYTES_TIERS, settings.BODY_BYTES_IN_FLIGHT)

    def of_path(self, path: str) -> int:
        """Return the longest body that anybody may send to a path."""
        for prefix, max_bytes in self.routes.items():
            if path == prefix or path.startswith(f"{prefix.rstrip('/')}/"):
                return max_bytes
        return self.max_bytes

    def of_caller(self, path: str, ctx: CallerContext) -> int:
        """Return the longest body that this caller may send to a path."""
        limit = self.of_path(path)
        return limit if ctx.is_internal else min(limit, self.tiers.get(ctx.tier, self.tiers.get("default", limit)))


class BytesInFlight:
    """What the bodies that a process works on take, in all and by caller.

    One caller may hold a quarter, all users together three quarters; one body always fits where its caller has no other
    and there is room by right.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[str] = Counter()
        self._users = self._all = 0

    def hold(self, ctx: CallerContext, count: int, *, of_this: int = 0) -> None:
        """Take so many bytes more for a caller.

        Parameters
        ----------
        of_this
            What the same body holds already: one that says no length beforehand grows as it comes.

        Raises
        ------
        RateLimitedError
            `429 too_many_bytes`, when this caller holds too many.
        UnavailableError
            `503 bodies_full`, when all together do.
        """
        mine, users = self._held[ctx.owner], self._users
        if not ctx.is_internal and mine > of_this and mine + count > self._most // OWNER_SHARE:
            raise RateLimitedError(
                f"bodies of {mine} bytes of yours are being worked on; send large ones one after the other",
                code="too_many_bytes",
                retry_after_seconds=RETRY_SECONDS,
            )
        full = self._all > of_this and self._all + count > self._most
        if full or (not ctx.is_internal and users > of_this and users + count > self._most * USERS_SHARE):
            raise UnavailableError(
                "too many large bodies are being worked on; try again",
                code="bodies_full",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._held[ctx.owner] += count
        self._all += count
        self._users += 0 if ctx.is_internal else count

    def release(self, ctx: CallerContext, count: int) -> None:
        """Give bytes back."""
        self._all -= count
        self._users -= 0 if ctx.is_internal else count
        self._held[ctx.owner] -= count
        if self._held[ctx.owner] <= 0:
            del self._held[ctx.owner]


class Body:
    """One request's body, sealed until its caller is admitted.

    Attributes
    ----------
    parsing
        Held while a large body is parsed: one after the other, so that each piece of work that holds the loop is a
        single one.
    """

    def __init__(self, scope: Scope, receive: Receive, middleware: "BodyMiddleware", declared: int | None) -> None:
        self._scope = scope
        self._inner = receive
        self._limits = middleware.limits
        self._in_flight = middleware.in_flight
        self._declared = declared
        self._ctx: CallerContext | None = None
        self._limit = self._received = self._held = 0
        self._complete = False
        self.parsing = middleware.parsing

    def admit(self, ctx: CallerContext) -> None:
        """Break the seal for a caller who has been identified and counted.

        Raises
        ------
        UnsupportedError
            `415`, for a body that is compressed.
        TooLargeError
            `413`, by the declared length.
        RateLimitedError, UnavailableError
            When there is no room for it now.
        """
        if self._ctx is not None:
            return
        if header(self._scope, b"content-encoding").strip().lower() not in ("", "identity"):
            raise UnsupportedError(
                "send the body as it is, without Content-Encoding", code="unsupported_content_encoding"
            )
        self._limit = self._limits.of_caller(self._scope["path"], ctx)
        if self._declared is not None:
            if self._declared > self._limit:
                raise too_long(self._limit)
            self._hold(ctx, self._declared)
        self._ctx = ctx

    def _hold(self, ctx: CallerContext, count: int) -> None:
        more = count - self._held
        if count > SMALL_BYTES and more > 0:
            self._in_flight.hold(ctx, more, of_this=self._held)
            self._held = count

    async def receive(self) -> Message:
        """Receive as ASGI has it; what is wrong with the body ends the request."""
        if self._complete:
            return await self._inner()  # for whoever waits for the client to leave
        if self._ctx is None:
            told = InternalError("a body was asked for before its caller was admitted: that route is no GuardedRoute")
            raise RefusalError(told)
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._inner()
        except TimeoutError:
            raise RefusalError(IncompleteError(f"no byte of the body came for {IDLE_SECONDS:g} s")) from None
        if message["type"] != "http.request":
            return message
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received > self._limit:
            raise RefusalError(too_long(self._limit))
        try:
            self._hold(self._ctx, self._received)
        except (RateLimitedError, UnavailableError) as error:
            raise RefusalError(error) from error
        return message

    def close(self) -> None:
        """Give back what it held."""
        if self._held and self._ctx is not None:
            self._in_flight.release(self._ctx, self._held)
            self._held = 0


class BodyMiddleware:
    """Seal every request's body, and refuse at once what is longer than anybody may send.

    Parameters
    ----------
    app
        The application within.
    limits
        How long bodies may be.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self.limits = limits
        self.in_flight = BytesInFlight(limits.in_flight_bytes)
        self.parsing = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        state = current_request()
        if scope["type"] != "http" or state is None:
            await self._app(scope, receive, send)
            return
        given = header(scope, b"content-length")
        declared = int(given) if given.isdecimal() and len(given) < 20 else None
        if declared == 0 or (not given and not header(scope, b"transfer-encoding")):
            await self._app(scope, receive, send)
            return
        limit = self.limits.of_path(scope["path"])
        if given and (declared is None or declared > limit):
            await problem_of(too_long(limit), scope["path"])(scope, receive, send)
            return
        body = state.body = Body(scope, receive, self, declared)
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.close()


def header(scope: Scope, name: bytes) -> str:
    """Return the first value of a header, by its name in lower case; empty where there is none."""
    for given, value in scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return ""


def too_long(limit: int) -> TooLargeError:
    """Return the error of a body over its limit."""
    return TooLargeError(f"the body is longer than the {limit} bytes that this takes")
