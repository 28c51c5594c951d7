"""Where a page of a list ended: opaque to callers, and checked whole when it comes back.

A cursor holds the place, and a digest of the list, its filters and the place. What was cut, edited or made up, or
belongs to another list or to other filters, does not match and is refused. There is no secret in it: who computes the
digest himself names a place in his own list, of the type that the list's query takes, and learns nothing by it.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from ml_shared.errors import InvalidError

CURSOR_MAX_CHARACTERS: Final = 4_096
# a URL of 2,048 characters, and room for what JSON and base64 add
_VERSION: Final = "1"
# the first character; another form of cursor gets another
_DIGEST_BYTES: Final = 9

Place = TypeVar("Place")


class InvalidCursorError(InvalidError):
    """Not a cursor that a page of this list, with these filters, gave."""

    code = "invalid_cursor"


class Cursors(Generic[Place]):
    """The cursors of one list.

    Parameters
    ----------
    name
        The list's; no two lists share one.
    place
        Type of what a page ends with, with all the bounds that the query for the next one needs.
    """

    def __init__(self, name: str, place: Any) -> None:
        self._name = name
        self._place: TypeAdapter[Place] = TypeAdapter(place)

    def write(self, place: Place, filters: Mapping[str, Any] | None = None) -> str:
        """Return the cursor of a page that ended there.

        Parameters
        ----------
        filters
            What the list was narrowed by, and will be again; what is `None` counts as absent.
        """
        written = self._place.dump_json(place)
        return _VERSION + base64.urlsafe_b64encode(self._digest(written, filters) + written).decode().rstrip("=")

    def read(self, cursor: str | None, filters: Mapping[str, Any] | None = None) -> Place | None:
        """Return the place that a cursor names; `None` for the first page.

        Raises
        ------
        InvalidCursorError
            If no page of this list with these filters gave it.
        """
        if cursor is None:
            return None
        try:
            found = self._read(cursor, filters)
        except (ValueError, binascii.Error, ValidationError) as error:
            raise _refused() from error
        if cursor != self.write(found, filters):  # the same place spelled otherwise
            raise _refused()
        return found

    def _read(self, cursor: str, filters: Mapping[str, Any] | None) -> Place:
        if len(cursor) > CURSOR_MAX_CHARACTERS or not cursor.startswith(_VERSION):
            raise ValueError("another version's, or nobody's")
        packed = cursor[len(_VERSION) :]
        padded = packed + "=" * (-len(packed) % 4)
        raw = base64.b64decode(padded.encode(), altchars=b"-_", validate=True)
        digest, written = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if digest != self._digest(written, filters):
            raise ValueError("another list's, or edited")
        return self._place.validate_json(written)

    def _digest(self, written: bytes, filters: Mapping[str, Any] | None) -> bytes:
        narrowed = {name: str(value) for name, value in (filters or {}).items() if value is not None}
        bound = orjson.dumps([_VERSION, self._name, narrowed], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(bound + b"\n" + written).digest()[:_DIGEST_BYTES]


def _refused() -> InvalidCursorError:
    return InvalidCursorError(
        "the cursor is not one of this list's with these filters; take next_cursor of the page before"
    )
