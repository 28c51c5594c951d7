"""What a right crawl of a made-up site comes to: of every URL its outcome and why, and who may never be asked for what."""

import fnmatch
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urldefrag

from standins.sites.graph import OUTSIDE, Graph, Kind, Node

ENDLESS_MOST: Final = 150
"""Pages of one endless area that a crawl may ask for before it gives up, unless a test says otherwise."""


class Outcome(StrEnum):
    """What becomes of a page in a first run."""

    NEW = "new"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """What a crawl is asked for.

    Attributes
    ----------
    source
        `page` begins at the root, `site` also at what the sitemap names, `sitemap` there alone.
    follow_links
        Whether links are followed; by the source unless given.
    include, exclude
        Globs on the path.
    """

    source: str = "site"
    follow_links: bool | None = None
    max_depth: int = 10
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether links are followed."""
        return self.source != "sitemap" if self.follow_links is None else self.follow_links


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one URL. `reason` is why it is no document, `None` if it is one."""

    outcome: Outcome
    reason: str | None = None


Found = Mapping[str, tuple[str, str | None]]
"""What a crawl found: of each URL its outcome and reason."""


@dataclass
class Expectation:
    """What a right crawl comes to.

    Attributes
    ----------
    verdicts
        Of each path, or URL outside, that has one outcome in every right crawl.
    alike
        Paths with the same text: one of each group is a document, and the others are `duplicate_content`.
    endless
        Areas of which some pages are read, at most `ENDLESS_MOST`, and the rest is skipped.
    never_asked
        Paths that no polite crawler asks for.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    alike: list[set[str]] = field(default_factory=list)
    endless: tuple[str, ...] = ()
    never_asked: set[str] = field(default_factory=set)

    @property
    def documents(self) -> int:
        """How many pages are in the corpus afterwards, those of endless areas left out."""
        return sum(one.outcome is Outcome.NEW for one in self.verdicts.values()) + len(self.alike)

    def differences(
        self, found: Found, origin: str, asked: Mapping[str, int] | None = None, *, endless_most: int = ENDLESS_MOST
    ) -> list[str]:
        """Return in what a crawl is not right, one line each: none if it is.

        Parameters
        ----------
        found
            Of each URL that it met.
        origin
            Of the site, without a slash at the end.
        asked
            How often the site was asked for each path.
        endless_most
            How many pages of an area without an end may have been read.
        """
        by_path = {_path_of(url, origin): told for url, told in found.items()}
        wrong = [*self._of_verdicts(by_path), *self._of_groups(by_path), *self._of_areas(by_path, endless_most)]
        known = {*self.verdicts, *(path for group in self.alike for path in group)}
        wrong += [
            f"{path}: nobody links there, and it was met"
            for path in by_path
            if path not in known and not path.startswith(self.endless or ("\0",))
        ]
        for path in sorted(self.never_asked):
            if (asked or {}).get(path):
                wrong.append(f"{path}: asked for {(asked or {})[path]} times, and it may never be")
        return wrong

    def _of_verdicts(self, found: Found) -> list[str]:
        wrong = []
        for path, verdict in self.verdicts.items():
            told = found.get(path)
            if told is None:
                wrong.append(f"{path}: not met; it should be {_said(verdict.outcome, verdict.reason)}")
            elif told[0] != verdict.outcome or (verdict.reason is not None and told[1] != verdict.reason):
                wrong.append(f"{path}: {_said(*told)}; it should be {_said(verdict.outcome, verdict.reason)}")
        return wrong

    def _of_groups(self, found: Found) -> list[str]:
        wrong = []
        for group in self.alike:
            told = {path: found.get(path, ("not met", None)) for path in sorted(group)}
            documents = [path for path, (outcome, _) in told.items() if outcome == Outcome.NEW]
            others = {_said(*told[path]) for path in told if path not in documents}
            if len(documents) != 1 or others - {"skipped (duplicate_content)"}:
                wrong.append(f"{', '.join(told)}: one is a document and the others its duplicates; they are {told}")
        return wrong

    def _of_areas(self, found: Found, most: int) -> list[str]:
        wrong = []
        for area in self.endless:
            told = [one for path, one in found.items() if path.startswith(area)]
            read = sum(outcome != Outcome.SKIPPED or reason == "duplicate_content" for outcome, reason in told)
            if not told or read > most:
                wrong.append(f"{area}: {read} pages of it were read; it should be 1 to {most}")
        return wrong


def expect(graph: Graph, plan: CrawlPlan | None = None) -> Expectation:
    """Return what a right first crawl of a site comes to, one with room for all its pages."""
    return _Walk(graph, plan or CrawlPlan()).walked()


class _Walk:
    """A crawl by the book, on paper."""

    def __init__(self, graph: Graph, plan: CrawlPlan) -> None:
        self._graph = graph
        self._plan = plan
        self._forbidden = set(graph.forbidden)
        self._depths: dict[str, int] = {}
        self._skipped: dict[str, str] = {}
        self._waiting: deque[str] = deque()
        self._areas: dict[str, None] = {}

    def walked(self) -> Expectation:
        plan = self._plan
        beginnings = ["/"] if plan.source in ("page", "site") else []
        if plan.source in ("site", "sitemap") and self._graph.options.sitemap:
            beginnings += self._graph.listed
        for path in beginnings:
            self._meet(path, 0, nofollow=False)
        while self._waiting:
            path = self._waiting.popleft()
            node = self._graph.node(path)
            if node is not None:
                self._follow(path, node)
        return self._expectation()

    def _follow(self, path: str, node: Node) -> None:
        if path in self._forbidden or node.noindex:
            return
        depth = self._depths[path]
        further = self._end_of(node) if node.kind is Kind.REDIRECT else node.canonical
        if further is not None:  # that one is the document: it is looked at in this one's place
            self._meet(further, depth, nofollow=False)
        if self._plan.follows and node.kind in (Kind.PAGE, Kind.BUSY, Kind.SLOW):
            for one in node.links:
                self._meet(one.path, depth + 1, nofollow=one.nofollow or node.nofollow)

    def _meet(self, path: str, depth: int, *, nofollow: bool) -> None:
        if self._graph.is_endless(path):
            area = next(area for area in self._graph.areas if path.startswith(area))
            self._areas[area] = None
            return
        reason = self._refusal(path, depth, nofollow=nofollow)
        if reason is not None:
            if path not in self._depths:
                self._skipped.setdefault(path, reason)
        elif path not in self._depths:
            self._skipped.pop(path, None)
            self._depths[path] = depth
            self._waiting.append(path)

    def _refusal(self, path: str, depth: int, *, nofollow: bool) -> str | None:
        if path == OUTSIDE:
            return "out_of_scope"
        plan, bare = self._plan, path.partition("?")[0]
        if any(fnmatch.fnmatchcase(bare, glob) for glob in plan.exclude):
            return "excluded"
        if plan.include and not any(fnmatch.fnmatchcase(bare, glob) for glob in plan.include):
            return "excluded"
        if nofollow:
            return "nofollow"
        return "too_deep" if depth > plan.max_depth else None

    def _expectation(self) -> Expectation:
        found = Expectation(endless=tuple(self._areas), never_asked={*self._forbidden, *self._skipped} - {OUTSIDE})
        same: dict[str, set[str]] = {}
        for path in self._depths:
            verdict = self._verdict(path)
            if verdict is None:
                same.setdefault(self._text_of(path), set()).add(path)
            else:
                found.verdicts[path] = verdict
        for group in same.values():
            if len(group) == 1:
                found.verdicts[group.pop()] = Verdict(Outcome.NEW)
            else:
                found.alike.append(group)
        found.verdicts |= {path: Verdict(Outcome.SKIPPED, reason) for path, reason in self._skipped.items()}
        return found

    def _text_of(self, path: str) -> str:
        node = self._graph.node(path)
        return path if node is None else node.text_of

    def _verdict(self, path: str) -> Verdict | None:
        """Return what becomes of a page that is asked for; `None` if it has a text to be indexed."""
        node = self._graph.node(path)
        if path in self._forbidden:
            return Verdict(Outcome.SKIPPED, "robots_disallowed")
        if node is None or node.kind in (Kind.GONE, Kind.MISSING):
            return Verdict(Outcome.FAILED, "gone")
        if node.kind is Kind.REDIRECT:
            loops = self._end_of(node) is None
            return Verdict(Outcome.FAILED, "too_many_redirects") if loops else _elsewhere()
        if node.kind is Kind.PICTURE:
            return Verdict(Outcome.SKIPPED, "unsupported")
        if node.noindex:
            return Verdict(Outcome.SKIPPED, "noindex")
        return _elsewhere() if node.canonical not in (None, path) else None

    def _end_of(self, redirect: Node) -> str | None:
        """Return where redirects end, `None` if they go round."""
        seen: set[str] = set()
        path = redirect.path
        while (node := self._graph.node(path)) is not None and node.target is not None:
            if path in seen:
                return None
            seen.add(path)
            path = node.target
        return path


def _elsewhere() -> Verdict:
    return Verdict(Outcome.SKIPPED, "canonical_elsewhere")


def _said(outcome: str, reason: str | None) -> str:
    return f"{outcome} ({reason})" if reason else str(outcome)


def _path_of(url: str, origin: str) -> str:
    bare = urldefrag(url).url
    return (bare.removeprefix(origin) or "/") if bare == origin or bare.startswith(f"{origin}/") else bare
