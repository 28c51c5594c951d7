"""Server-sent events (WHATWG HTML, 9.2.6), read as their bytes come."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 1024 * 1024
# of one event; what is longer is none of this API's


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event as it came."""

    data: str
    event: str = "message"
    id: str | None = None


class EventReader:
    """Makes events of bytes. `last_id` is what `Last-Event-ID` says of a stream that goes on."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._rest = b""
        self._fresh = True
        self._data: list[str] = []
        self._event = ""
        self._id = last_id
        self._size = 0

    def feed(self, more: bytes) -> Iterator[ServerEvent]:
        """Yield the events that these bytes complete.

        Raises
        ------
        ValueError
            If an event is longer than any of this API.
        """
        if self._fresh and more:
            more, self._fresh = more.removeprefix(b"\xef\xbb\xbf"), False
        held = self._rest + more
        # a carriage return at the very end may be half of a line's end
        text, half = (held[:-1], held[-1:]) if held.endswith(b"\r") else (held, b"")
        *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + half
        for line in lines:
            self._size += len(line)
            if event := self._line(line.decode("utf-8", "replace")):
                yield event
        if self._size + len(self._rest) > MOST_BYTES:
            raise ValueError(f"an event of more than {MOST_BYTES} bytes")

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            data, event = self._data, self._event
            self._data, self._event, self._size = [], "", 0
            self.last_id = self._id  # only now: of an event that was cut off nothing counts
            return ServerEvent("\n".join(data), event or "message", self.last_id) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
