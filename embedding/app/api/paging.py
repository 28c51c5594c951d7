"""Pages of a list: opaque cursors, and the `Link` to the next page."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response

from ml_shared.errors import InvalidError

Limit = Annotated[int, Query(ge=1, le=200, description="most items of this page")]
Cursor = Annotated[str | None, Query(max_length=4_096, description="`next_cursor` of the page before")]


def decode_cursor(cursor: str | None) -> str:
    """Return the name that the page before ended with; empty, which sorts before all, for the first page.

    Raises
    ------
    InvalidError
        `422 invalid_cursor`, if it is not one of ours.
    """
    if cursor is None:
        return ""
    try:
        name = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidError("the cursor is not one of this list's", code="invalid_cursor") from error
    if "\0" in name:
        raise InvalidError("the cursor is not one of this list's", code="invalid_cursor")
    return name


def next_cursor(names: Sequence[str], limit: int, request: Request, response: Response) -> str | None:
    """Return the cursor after a page whose query asked for one item more than `limit`; it sets the `Link` header too."""
    if len(names) <= limit:
        return None
    cursor = base64.urlsafe_b64encode(names[limit - 1].encode()).decode()
    target = request.url.include_query_params(cursor=cursor, limit=limit)
    # relative: the gateway's prefix is not known here
    response.headers["Link"] = f'<?{target.query}>; rel="next"'
    return cursor
