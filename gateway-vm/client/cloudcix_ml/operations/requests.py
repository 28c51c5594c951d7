"""How requests of this API are made."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from cloudcix_ml.core.effects import Item, Request, Stream
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.base import Body
from cloudcix_ml.texts import encoded

ORCHESTRATOR: Final = "/api/orchestrator"
SCRAPER: Final = "/api/scraper"
EMBEDDING: Final = "/api/embedding"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def path_of(*parts: str) -> str:
    """Return a path; what stands in it is data, and never a path itself."""
    prefix, *rest = parts
    return "/".join([prefix, *map(_quoted, rest)])


def _quoted(part: str) -> str:
    quoted = quote(encoded(part), safe="")
    return quoted.replace(".", "%2E") if part in {".", ".."} else quoted


def params_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return a query's values as texts; what is None is left out."""
    found = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, datetime):
            # without an offset it is this machine's time, as datetime has it
            value = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        found[name] = ("true" if value else "false") if isinstance(value, bool) else str(value)
        encoded(found[name])  # said here, where nothing was sent
    return found


def get(path: str, **params: Any) -> Request:
    """Return a request that reads."""
    return Request("GET", path, params_of(params))


def post(path: str, body: Body | None = None, *, headers: Mapping[str, str] | None = None, **more: Any) -> Request:
    """Return a request that does no harm twice."""
    if body is None:
        return Request("POST", path, headers=dict(headers or {}), **more)
    head = {"Content-Type": "application/json", **(headers or {})}
    return Request("POST", path, headers=head, body=body.sent(), **more)


def create(path: str, body: Body, idempotency_key: str | None, **headers: str) -> Request:
    """Return a request that makes something: once, however often it is sent."""
    return post(path, body, headers={**idempotent(idempotency_key), **headers})


def idempotent(key: str | None) -> dict[str, str]:
    """Return the header of a request that makes something, with a key of its own unless one is given."""
    return {"Idempotency-Key": key or secrets.token_urlsafe(18)}


class Paged(Protocol[T_co]):
    """A page of any list."""

    @property
    def items(self) -> Sequence[T_co]:
        """What is on it."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next one begins; None on the last."""


def listed(session: Session, path: str, page_kind: type[Paged[T]], page_size: int | None, **params: Any) -> Stream[T]:
    """Hand out a list's items; each page is asked for when it is come to."""
    cursor: str | None = None
    while True:
        page = yield from call(session, get(path, **params, limit=page_size, cursor=cursor), page_kind)
        for item in page.items:
            yield Item(item)
        if page.next_cursor is None or page.next_cursor == cursor:
            return
        cursor = page.next_cursor
