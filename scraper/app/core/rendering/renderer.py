"""The renderer, as the rest of the scraper knows it: a page that was fetched in, the page that its scripts make of it out."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from app.core.errors import RenderTimeoutError
from app.core.extraction.result import Extract
from app.core.fetching.visiting import Page, Visitor
from app.core.rendering.bounds import RenderBounds
from ml_shared.contracts.scraping import ExtractionWarning
from ml_shared.errors import ServiceError

if TYPE_CHECKING:
    from app.config import Settings
    from app.core.rendering.rendering import Rendered

_SCHEME: Final = "unix://"
_TYPE: Final = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Made:
    """A page as its scripts made it.

    Attributes
    ----------
    page
        With the rendered HTML for its body.
    failure
        Why the page may have no text, if something is known to be missing of it.
    curtailed
        Whether that was for want of time or room.
    rendered
        Whether a browser built it: scripts may have gone on to another document.
    """

    page: Page
    failure: ServiceError | None
    curtailed: bool
    rendered: bool

    def noted(self, extract: Extract) -> Extract:
        """Return what was found in the page, with a warning if something is missing of it."""
        if not self.curtailed:
            return extract
        return replace(extract, warnings=[*extract.warnings, ExtractionWarning.INCOMPLETE])


@dataclass(frozen=True)
class Renderer:
    """Where pages are rendered, and what that may take."""

    socket: str
    agent: str
    bounds: RenderBounds

    @classmethod
    def of(cls, settings: "Settings") -> Self | None:
        """Return the renderer that the settings name, if they name one."""
        if not settings.RENDERER_URL:
            return None
        bounds = RenderBounds(
            seconds=settings.RENDER_TIMEOUT_SECONDS,
            max_requests=settings.RENDER_MAX_REQUESTS,
            max_bytes=settings.RENDER_MAX_BYTES,
            max_page_bytes=settings.MAX_PAGE_BYTES,
        )
        return cls(settings.RENDERER_URL.removeprefix(_SCHEME), settings.USER_AGENT, bounds)

    async def render(self, visitor: Visitor, page: Page) -> Made:
        """Render a page.

        Raises
        ------
        ServiceError
            `renderer_unavailable`, `render_failed`, or `too_large`.
        """
        from app.core.rendering.rendering import render  # no memory is spent on it before

        rendered = await render(self.socket, visitor, page, agent=self.agent, bounds=self.bounds)
        failure = rendered.refusal
        if failure is None and rendered.curtailed:
            failure = RenderTimeoutError(f"what the page is made of did not come within {self.bounds.seconds:g} s")
        return Made(_with(rendered), failure, rendered.curtailed, rendered.body is not None)


def _with(rendered: "Rendered") -> Page:
    if rendered.body is None:
        return rendered.page
    answer = rendered.page.answer
    return replace(
        rendered.page, answer=replace(answer, headers={**answer.headers, "content-type": _TYPE}, body=rendered.body)
    )
