"""A trace as a tree: which span hangs under which, who waited, and what can be told together in one line."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from traces.spans import Kind, Span

LEAST_WAIT_NS = 1_000_000
# anything takes as long as this to begin
SLOW_STATEMENT_NS = 20_000_000
# of a statement that has a line of its own
_DATABASES = ("db.system", "db.system.name")


@dataclass(slots=True)
class Node:
    """A span with what hangs under it, the earliest first.

    Attributes
    ----------
    caller
        The span of the call that this one answers, or that queued it, when both are told in one line.
    statements
        The statements on databases that are told in its line; they are not among `children`.
    waited_since_ns
        Since when it waited, if it did: since the last span ended that it can have waited for, which for a queued task
        is the one that queued it.
    orphan
        Whether its parent is not there.
    """

    span: Span
    children: "list[Node]" = field(default_factory=list)
    caller: Span | None = None
    statements: list[Span] = field(default_factory=list)
    waited_since_ns: int | None = None
    orphan: bool = False

    @property
    def told(self) -> list[Span]:
        """Every span that is told in its line."""
        return [self.span, *([self.caller] if self.caller else []), *self.statements]

    def walk(self) -> "Iterator[tuple[int, Node]]":
        """Yield this node and all below, each after its parent, with how deep it is."""
        stack = [(0, self)]
        while stack:
            depth, node = stack.pop()
            yield depth, node
            stack.extend((depth + 1, child) for child in reversed(node.children))


def forest_of(spans: Iterable[Span], *, folded: bool = True) -> list[Node]:
    """Return the roots of a trace, the earliest first.

    Parameters
    ----------
    folded
        Whether what belongs together is one node: a call and its answer, a task and its place in the queue, and a
        span's short statements on databases, which are most of a job's spans.
    """
    nodes = {span.span_id: Node(span) for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))}
    roots = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id)
        if parent is None or _is_below(parent.span, node.span, nodes):
            node.orphan = bool(node.span.parent_id)
            roots.append(node)
        else:
            parent.children.append(node)
    _note_waits(roots)
    if folded:
        for root in roots:
            for node in reversed([node for _, node in root.walk()]):  # children before their parents
                node.children = [_with_call(child) for child in node.children]
                _take_statements(node)
        roots = [_with_call(root) for root in roots]
    return roots


def idle_times(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Return when no span was running between the first and the last, each from and until."""
    found, until = [], None
    for span in sorted(spans, key=lambda span: span.start_ns):
        if until is not None and span.start_ns > until:
            found.append((until, span.start_ns))
        until = max(until or 0, span.end_ns)
    return found


def _is_below(span: Span, other: Span, nodes: dict[str, Node]) -> bool:
    """Say whether a span is below another, or is it: those that are each other's parents would hang nowhere."""
    seen: set[str] = set()
    while span.span_id != other.span_id:
        above = nodes.get(span.parent_id)
        if above is None or span.span_id in seen:
            return False
        seen.add(span.span_id)
        span = above.span
    return True


def _note_waits(roots: list[Node]) -> None:
    everything = _Ends(roots)
    for root in roots[1:]:
        _note_wait(root, everything.latest_before(root.span.start_ns))
    for parent in [node for root in roots for _, node in root.walk()]:
        late = [child for child in parent.children if child.span.start_ns > parent.span.end_ns]
        if late:
            ends = _Ends([parent])
            for child in late:
                _note_wait(child, ends.latest_before(child.span.start_ns))


class _Ends:
    """When the spans of some trees had ended."""

    def __init__(self, roots: list[Node]) -> None:
        spans = sorted((node.span.start_ns, node.span.end_ns) for root in roots for _, node in root.walk())
        self._starts = [start for start, _ in spans]
        self._ends = list(accumulate((end for _, end in spans), max))

    def latest_before(self, moment_ns: int) -> int:
        """Return the latest end of all spans that began before a moment; it is later where one was still running."""
        place = bisect_left(self._starts, moment_ns)
        return self._ends[place - 1] if place else moment_ns


def _note_wait(node: Node, since_ns: int) -> None:
    if node.span.start_ns - since_ns >= LEAST_WAIT_NS:
        node.waited_since_ns = since_ns


def _with_call(node: Node) -> Node:
    """Return the answer to a call, or the task that was queued, with the call in it; anything else as it is."""
    answers = {Kind.CLIENT: Kind.SERVER, Kind.PRODUCER: Kind.CONSUMER}
    wanted = answers.get(node.span.kind)
    if len(node.children) != 1 or node.children[0].span.kind is not wanted:
        return node
    if node.statements or node.span.error or node.waited_since_ns is not None:
        return node
    (answer,) = node.children
    answer.caller, answer.orphan = node.span, node.orphan
    return answer


def _take_statements(node: Node) -> None:
    node.statements = [child.span for child in node.children if _is_short_statement(child)]
    node.children = [child for child in node.children if not _is_short_statement(child)]


def _is_short_statement(node: Node) -> bool:
    span = node.span
    is_statement = any(name in span.attributes for name in _DATABASES)
    return is_statement and not node.children and not span.error and span.end_ns - span.start_ns < SLOW_STATEMENT_NS
