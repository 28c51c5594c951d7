"""Reading one page the way a polite visitor does: robots.txt first, no faster than the host likes, hop by hop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS

from app.core.errors import HostBusyError, HttpStatusError, RobotsUnreachableError, TooManyRedirectsError
from app.core.extraction.kinds import READABLE
from app.core.fetching.challenges import refuse_challenge
from app.core.fetching.kept_parts import KeptParts, Place
from app.core.fetching.pacing import Errand, Pacer
from app.core.fetching.requests import Answer, BodyRule, Budget, Fetcher, origin_of
from app.core.robots.rules import ROBOTS_MAX_BYTES, RobotsRules
from app.core.robots.store import RobotsStore
from app.core.telemetry import REQUEST_SPAN, ROBOTS_SPAN, WAIT_SPAN, visit_span
from ml_shared.contracts.scraping import Render, RobotsVerdict
from ml_shared.errors import UpstreamError
from ml_shared.names import RequestMode
from ml_shared.web.errors import BlockedAddressError, BlockedPortError, DnsError, TlsError
from ml_shared.web.urls import InvalidUrlError, host_of, normalise_url

PAGE_MEDIA_TYPES: Final = READABLE
NOT_MODIFIED: Final = 304
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ROBOTS_REDIRECTS: Final = 5
_QUICK_ROBOTS_CHARACTERS: Final = 16_384
# a few milliseconds; half a megabyte of rules takes a tenth of a second, at every request and before the host's pace counts.
# Such files are read beside the event loop, and one at a time, so that they hold up nobody but each other
_DEFAULT_HOLD_SECONDS: Final = 30.0
# for a host that says 429 and does not say for how long
_NO_WAY: Final = (BlockedAddressError, BlockedPortError, DnsError, InvalidUrlError, TlsError)
# if a robots.txt redirects to such a place that is no fault of the page's address, which is good
_AskLeave = Callable[[str], Awaitable[float | None]]
# raises if a URL may not be fetched, and returns the delay that its site asks for
_Told = TypeVar("_Told")


@dataclass
class Visit:
    """One page to be scraped, and what is known of it so far.

    Attributes
    ----------
    url
        As submitted.
    job_id
        The orchestrator's job, if it is one.
    mode
        Whether somebody waits for it.
    queue_name
        The Celery queue that it came through.
    caller
        Who waits for it.
    owner
        Whose page it is, if somebody's: who waits for it, or whose job it is.
    validators
        Headers that tell the page's host what we have of it: then it may say that the page is still that.
    render
        Whether a browser is to build the page.
    host_next_at
        When the submitted URL's host may be asked again; it is set whatever becomes of the visit.
    bytes_received
        What came of bodies for it, as they were sent, robots.txt included; it is set whatever becomes of the visit.
    """

    url: str
    job_id: str | None = None
    mode: RequestMode = RequestMode.SYNC
    queue_name: str | None = None
    caller: str = ""
    owner: str = ""
    validators: Mapping[str, str] = field(default_factory=dict)
    render: Render = Render.NEVER
    host_next_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    bytes_received: int = 0


@dataclass(frozen=True)
class Part:
    """Something that a page is made of, and whether it was kept from an earlier page."""

    answer: Answer
    was_kept: bool = False


@dataclass(frozen=True)
class Page:
    """What was found at the end of a visit's redirects, and what going on from there shares with the way so far."""

    answer: Answer
    robots: RobotsVerdict
    walk: "_Walk"


def validators_of(if_none_match: str | None, if_modified_since: str | None) -> dict[str, str]:
    """Return the headers that ask for a page only if it is another one than last time."""
    said = {"If-None-Match": if_none_match, "If-Modified-Since": if_modified_since}
    return {name: value for name, value in said.items() if value}


class Visitor:
    """Reads pages.

    Parameters
    ----------
    agent
        The token that a robots.txt names us by.
    budget_seconds
        Time on the network for one page. Waiting for a slot does not count.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        pacer: Pacer,
        robots: RobotsStore,
        parts: KeptParts,
        *,
        agent: str,
        budget_seconds: float,
        max_redirects: int,
        max_page_bytes: int,
    ) -> None:
        self._fetcher = fetcher
        self._pacer = pacer
        self._robots = robots
        self._parts = parts
        self._agent = agent
        self._budget_seconds = budget_seconds
        self._max_redirects = max_redirects
        self._page_rule = BodyRule(max_page_bytes, PAGE_MEDIA_TYPES)
        self._long_robots = asyncio.Lock()

    async def read(self, visit: Visit, rule: BodyRule | None = None) -> Page:
        """Fetch a visit's page, and follow its redirects.

        Parameters
        ----------
        rule
            Which bodies are read, and how far, where it is no page.

        Raises
        ------
        ServiceError
            With the codes of the scraper's contract.
        """
        walk = _Walk(visit, Budget(self._budget_seconds), rule or self._page_rule)
        return await self._arrive(walk, normalise_url(visit.url))

    async def sitemaps(self, visit: Visit) -> tuple[RobotsVerdict, tuple[str, ...]]:
        """Return what the robots.txt of a visit's site names as its sitemaps, as it is written there.

        Raises
        ------
        ServiceError
            With the codes of the scraper's contract.
        """
        walk = _Walk(visit, Budget(self._budget_seconds), self._page_rule)
        url = normalise_url(visit.url)
        try:
            with visit_span(ROBOTS_SPAN, visit):
                return await self._of_robots(walk, url, lambda rules: (rules.check(url), rules.sitemaps))
        finally:
            visit.bytes_received = walk.budget.bytes_received

    async def read_on(self, page: Page, url: str) -> Page:
        """Go where a page sends its reader: a redirect like any other, within what is left of the visit's.

        Parameters
        ----------
        url
            Normalised.

        Raises
        ------
        ServiceError
            With the codes of the scraper's contract.
        """
        return await self._arrive(page.walk, url)

    async def read_part(
        self, page: Page, url: str, headers: Mapping[str, str], *, seconds: float, max_bytes: int, lasting: bool
    ) -> Part:
        """Fetch something that a page is made of: by its own site's robots.txt, in its host's turn. Redirects are answers.

        What an earlier page of the same owner and site was made of too is not fetched again while it is fresh.

        Parameters
        ----------
        url
            Normalised.
        headers
            Sent with it.
        seconds
            On the network.
        max_bytes
            Of its body.
        lasting
            Whether it is of a kind that seldom changes, so that its age tells how long it is fresh if its site does not.

        Raises
        ------
        ServiceError
            With the codes of the scraper's contract; `host_busy` says when its turn is.
        """
        visit = page.walk.visit
        part = _Walk(visit, Budget(seconds), BodyRule(max_bytes))
        place = Place(visit.owner, page.answer.url, url, headers)
        try:
            with visit_span(ROBOTS_SPAN, visit):
                verdict = await self._verdict(part, url)
            if visit.owner and (kept := await self._parts.find(place)) is not None:
                return Part(kept, was_kept=True)
            await self._wait_for_turn(part, host_of(url), Errand.PAGE, delay_seconds=verdict.crawl_delay, insist=False)
            answer = await self._ask(part, url, part.rule, headers)
            if visit.owner:
                await self._parts.keep(place, answer, guess=lasting)
            return Part(answer)
        finally:
            page.walk.budget.bytes_received += part.budget.bytes_received
            visit.bytes_received = page.walk.budget.bytes_received

    async def _arrive(self, walk: "_Walk", url: str) -> Page:
        visit = walk.visit
        verdict: RobotsVerdict | None = None

        async def ask_leave(url: str) -> float | None:
            nonlocal verdict
            walk.hops += 1
            with visit_span(ROBOTS_SPAN, visit):
                verdict = await self._verdict(walk, url)
            return verdict.crawl_delay

        try:
            left = self._max_redirects - walk.hops
            answer = await self._follow(walk, url, walk.rule, left, ask_leave)
        finally:
            visit.bytes_received = walk.budget.bytes_received
        refuse_challenge(answer.status, answer.headers)
        if answer.status == NOT_MODIFIED and visit.validators and verdict is not None:
            return Page(answer, verdict, walk)
        if not 200 <= answer.status < 300 or verdict is None:
            raise HttpStatusError(answer.status, retry_after_seconds=answer.retry_after_seconds)
        return Page(answer, verdict, walk)

    async def _verdict(self, walk: "_Walk", url: str) -> RobotsVerdict:
        return await self._of_robots(walk, url, lambda rules: rules.check(url))

    async def _of_robots(self, walk: "_Walk", url: str, told: Callable[[RobotsRules], _Told]) -> _Told:
        """Return what the robots.txt of a URL's site says: of the URL, or of its sitemaps."""
        origin = origin_of(url)

        async def read() -> Answer:
            address = f"{origin}/robots.txt"
            try:
                return await self._follow(walk, address, BodyRule(ROBOTS_MAX_BYTES, cut=True), _ROBOTS_REDIRECTS, None)
            except _NO_WAY as error:
                if origin_of(walk.at) == origin and not isinstance(error, InvalidUrlError):
                    raise  # what stands in the page's own way
                raise RobotsUnreachableError(
                    f"{address} leads to where it could not be read: {error.detail}", retryable=error.retryable
                ) from error

        file = await self._robots.file(origin, read)
        if len(file.text or "") <= _QUICK_ROBOTS_CHARACTERS:
            return told(RobotsRules(file, self._agent))
        async with self._long_robots:
            return await asyncio.to_thread(lambda: told(RobotsRules(file, self._agent)))

    async def _follow(
        self, walk: "_Walk", url: str, rule: BodyRule, redirects: int, ask_leave: _AskLeave | None
    ) -> Answer:
        asked: set[str] = set()
        for _ in range(redirects + 1):
            delay = await ask_leave(url) if ask_leave is not None else None
            host, walk.at = host_of(url), url
            if ask_leave is not None:
                insist = host in asked or host in walk.visited
                await self._wait_for_turn(walk, host, Errand.PAGE, delay_seconds=delay, insist=insist)
                walk.visited.add(host)
            elif host not in asked:  # where a robots.txt is moved within its host it is followed at once
                await self._wait_for_turn(walk, host, Errand.ROBOTS, insist=host in walk.visited)
            asked.add(host)
            answer = await self._ask(walk, url, rule, walk.visit.validators if ask_leave is not None else {})
            if answer.status not in _REDIRECTS:
                return answer
            url = _target(answer)
        most = self._max_redirects if ask_leave is not None else redirects
        raise TooManyRedirectsError(f"more than {most} redirects", retryable=False)

    async def _ask(self, walk: "_Walk", url: str, rule: BodyRule, headers: Mapping[str, str]) -> Answer:
        with visit_span(REQUEST_SPAN, walk.visit) as span:
            span.set_attribute(SERVER_ADDRESS, urlsplit(url).hostname or "")
            answer = await self._fetcher.get(url, walk.budget, rule, headers)
            span.set_attribute(HTTP_RESPONSE_STATUS_CODE, answer.status)
        await self._heed(walk, host_of(url), answer)
        return answer

    async def _wait_for_turn(
        self, walk: "_Walk", host: str, errand: Errand, *, delay_seconds: float | None = None, insist: bool
    ) -> None:
        with visit_span(WAIT_SPAN, walk.visit):
            try:
                turn = await self._pacer.turn(host, delay_seconds=delay_seconds, insist=insist, errand=errand)
            except HostBusyError as busy:
                walk.note(host, busy.retry_after_seconds or 0.0)
                raise
            walk.note(host, turn.next_seconds)
            if turn.wait_seconds > 0:
                await asyncio.sleep(turn.wait_seconds)

    async def _heed(self, walk: "_Walk", host: str, answer: Answer) -> None:
        """Tell everybody to keep off a host that says that it has too much to do."""
        if answer.status == 429 or (answer.status == 503 and answer.retry_after_seconds):
            seconds = answer.retry_after_seconds or _DEFAULT_HOLD_SECONDS
            walk.note(host, await self._pacer.hold(host, seconds))


class _Walk:
    """What the requests on behalf of one visit share.

    `visited` are the hosts that a page was asked of. What follows on the same host, a redirect or the robots.txt of its
    https side, insists on a slot soon: put off for a long crawl delay, it would be put off again after the next try.
    `at` is the address that was asked for last, `hops` are the requests for the page, each redirect one more.
    """

    def __init__(self, visit: Visit, budget: Budget, rule: BodyRule) -> None:
        self.budget = budget
        self.rule = rule
        self.visited: set[str] = set()
        self.hops = 0
        self.visit = visit
        self.at = ""
        self._host = host_of(normalise_url(visit.url))

    def note(self, host: str, seconds: float) -> None:
        if host == self._host:
            self.visit.host_next_at = datetime.now(UTC) + timedelta(seconds=seconds)


def _target(answer: Answer) -> str:
    location = answer.headers.get("location", "")
    if not location:
        raise UpstreamError(f"a redirect (HTTP status {answer.status}) without a Location", retryable=False)
    try:
        return normalise_url(urljoin(answer.url, location.encode("latin-1").decode("utf-8", "replace")))
    except (ValueError, InvalidUrlError) as error:
        if isinstance(error, InvalidUrlError):
            raise
        raise UpstreamError("a redirect to something that is not a URL", retryable=False) from error
