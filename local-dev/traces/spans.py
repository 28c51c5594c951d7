"""A span as the sink keeps it: what came by OTLP, cut to a bounded size, and back from a row of the store."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

NAME_CHARACTERS = 200
TEXT_CHARACTERS = 1_000
# of one attribute; a statement or an address is recognised by less
TRAIL_CHARACTERS = 4_000
# of a stack trace, whose end says what happened
MOST_ATTRIBUTES = 48
MOST_EVENTS = 8
MOST_LINKS = 16
MOST_ITEMS = 16
# of a list in an attribute
LATEST_NS = 4 * 10**18
# in the year 2096; calendars and databases can't write down all that the protocol can
CUT = "…"
_TRAIL = "exception.stacktrace"
_ERROR = 2
# STATUS_CODE_ERROR

Value = str | int | float | bool | None | list[Any]


class Kind(IntEnum):
    """What a span is between its neighbours, with OTLP's numbers."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5

    @classmethod
    def _missing_(cls, value: object) -> "Kind":
        return cls.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span, such as an exception."""

    name: str
    at_ns: int
    attributes: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are hexadecimal, `parent_id` is empty for a root; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    error: bool = False
    message: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    @property
    def rest(self) -> str:
        """What has no column of its own, as JSON."""
        events = [asdict(event) for event in self.events]
        rest = {"message": self.message, "attributes": self.attributes, "events": events, "links": self.links}
        return json.dumps({name: one for name, one in rest.items() if one}, ensure_ascii=False, separators=(",", ":"))


def with_rest(rest: str, **columns: Any) -> Span:
    """Return the span that a row holds."""
    kept = json.loads(rest)
    kept["events"] = [Event(**event) for event in kept.get("events", ())]
    return Span(**columns, **kept)


def spans_of(request: Any) -> Iterator[Span]:
    """Yield the spans of an `ExportTraceServiceRequest`, each cut to what the store takes; those without ids are left out."""
    for group in request.resource_spans:
        service = next((_value(pair.value) for pair in group.resource.attributes if pair.key == "service.name"), "")
        for scope in group.scope_spans:
            for span in scope.spans:
                if len(span.trace_id) == 16 and len(span.span_id) == 8:
                    yield _span(span, _cut(str(service or "unknown"), NAME_CHARACTERS))


def is_expected(event: Event) -> bool:
    """Say whether this is how a Redis asks for a script that it has not seen since its start."""
    return str(event.attributes.get("exception.type", "")).endswith("NoScriptError")


def _span(span: Any, service: str) -> Span:
    events = [
        Event(_cut(event.name, NAME_CHARACTERS), _time(event.time_unix_nano), _attributes(event.attributes))
        for event in span.events[:MOST_EVENTS]
    ]
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=_cut(span.name, NAME_CHARACTERS),
        kind=Kind(span.kind),
        start_ns=_time(span.start_time_unix_nano),
        end_ns=_time(max(span.start_time_unix_nano, span.end_time_unix_nano)),
        error=span.status.code == _ERROR and not any(is_expected(event) for event in events),
        message=_cut(span.status.message, TEXT_CHARACTERS),
        attributes=_attributes(span.attributes),
        events=events,
        links=list(dict.fromkeys(link.trace_id.hex() for link in span.links[:MOST_LINKS])),
    )


def _time(nanoseconds: int) -> int:
    return min(nanoseconds, LATEST_NS)


def _attributes(pairs: Iterable[Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in pairs:
        if len(found) == MOST_ATTRIBUTES:
            break
        name = _cut(pair.key, NAME_CHARACTERS)
        found[name] = _trail(pair.value.string_value) if name == _TRAIL else _value(pair.value)
    return found


def _value(value: Any, *, nested: bool = False) -> Value:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "string_value":
            return _cut(value.string_value, TEXT_CHARACTERS)
        case "array_value" if not nested:
            return [_value(item, nested=True) for item in value.array_value.values[:MOST_ITEMS]]
        case "bool_value" | "int_value" | "double_value":
            number: bool | int | float = getattr(value, kind)
            return number
        case _:
            return f"<{kind.removesuffix('_value')}>"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + CUT


def _trail(text: str) -> str:
    return text if len(text) <= TRAIL_CHARACTERS else CUT + text[1 - TRAIL_CHARACTERS :]
