"""Which callers a route admits, once it is known who calls."""

import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Depends

from ml_shared.auth.context import CallerContext
from ml_shared.auth.membership import validate_api_key
from ml_shared.errors import ForbiddenError

Guard = Callable[..., Coroutine[Any, Any, CallerContext]]
Admits = Callable[[CallerContext], None]
"""Raises for a caller whom a route does not admit."""

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
# RFC 6749, section 3.3: what a challenge can name


class InsufficientScopeError(ForbiddenError):
    """The key is valid, but Membership has narrowed it to other things.

    Parameters
    ----------
    needed
        Every scope that the route asks for.
    """

    code = "insufficient_scope"

    def __init__(self, *needed: str) -> None:
        scope = " ".join(needed)
        super().__init__(f"this API key may not do this; it needs the scope {scope}", extra={"scope": scope})
        self.challenge = f'Bearer realm="cloudcix-ml", error="insufficient_scope", scope="{scope}"'


def _guard(admits: Admits) -> Guard:
    async def admitted(ctx: CallerContext = Depends(validate_api_key)) -> CallerContext:
        admits(ctx)
        return ctx

    admitted.admits = admits  # type: ignore[attr-defined]  # read by `admits_of`, before the body is
    return admitted


def admits_of(dependency: Callable[..., Any]) -> Admits | None:
    """Return what a guard asks of a caller, `None` for any other dependency."""
    admits: Admits | None = getattr(dependency, "admits", None)
    return admits


def internal_only(*names: str) -> Guard:
    """Return the dependency of an internal route: it admits these services and nobody else.

    Raises
    ------
    ForbiddenError
        From the dependency, `403 internal_only`.
    """
    admitted = frozenset(str(name) for name in names)

    def admits(ctx: CallerContext) -> None:
        if not ctx.is_internal or ctx.service not in admitted:
            raise ForbiddenError("this route is for services of the fleet", code="internal_only")

    return _guard(admits)


def users_and(*names: str) -> Guard:
    """Return the dependency of a user's route: it admits users, and of the fleet's services those that need it.

    A service's key passes no limit, so it opens nothing that the service has no business with.

    Raises
    ------
    ForbiddenError
        From the dependency, `403 users_only`.
    """
    admitted = frozenset(str(name) for name in names)

    def admits(ctx: CallerContext) -> None:
        if ctx.is_internal and ctx.service not in admitted:
            raise ForbiddenError(f"this route is for users; {ctx.service} has no need of it", code="users_only")

    return _guard(admits)


def requires_scope(*scopes: str) -> Guard:
    """Return the dependency of a route that Membership may narrow: it admits keys that have all these scopes.

    A key without any scope is not narrowed and passes, as do the services of the fleet.

    Raises
    ------
    ValueError
        At once, when there is no scope or one that no key could have.
    InsufficientScopeError
        From the dependency, `403 insufficient_scope`.
    """
    needed = tuple(str(scope) for scope in scopes)
    if not needed or not all(map(_SCOPE.fullmatch, needed)):
        raise ValueError(f"scopes are named, in printable ASCII without blanks, quotes and backslashes: {needed!r}")

    def admits(ctx: CallerContext) -> None:
        if not ctx.is_internal and ctx.scopes and not ctx.scopes.issuperset(needed):
            raise InsufficientScopeError(*needed)

    return _guard(admits)
