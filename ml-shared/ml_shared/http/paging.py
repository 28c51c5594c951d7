"""Pages of a list over HTTP: how one is asked for, and the `Link` to the next."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field, Strict

from ml_shared.contracts.cursors import CURSOR_MAX_CHARACTERS
from ml_shared.contracts.values import DECIMAL_DIGITS

Limit = Annotated[int, Field(ge=1, le=200), Strict(), DECIMAL_DIGITS, Query(description="most items of the page")]
Cursor = Annotated[str | None, Query(max_length=CURSOR_MAX_CHARACTERS, description="`next_cursor` of the page before")]


def link_next(cursor: str | None, request: Request, response: Response) -> str | None:
    """Name the next page in the answer's `Link` header, if there is one. Returns the cursor, for the body."""
    if cursor is not None:
        target = request.url.include_query_params(cursor=cursor)
        # relative: the gateway's prefix is not known here
        response.headers["Link"] = f'<?{target.query}>; rel="next"'
    return cursor
