"""What the demo submits and asks, and what should come of it."""

from enum import StrEnum
from pathlib import Path

import httpx
from pydantic import BaseModel, TypeAdapter

QUESTIONS_FILE = Path(__file__).with_name("questions.json")
SITE_TIMEOUT_SECONDS = 10.0


class Expected(StrEnum):
    """What is to become of a page."""

    INDEXED = "indexed"
    SKIPPED = "skipped"
    FAILED = "failed"


class ExpectedPage(BaseModel):
    """A page to submit, or to be met."""

    url: str
    label: str
    outcome: Expected
    reason: str | None = None
    why: str = ""


class Question(BaseModel):
    """A question, and the address of the page that answers it; without one, whatever comes first is right."""

    query: str
    url: str | None = None


class _SitePage(BaseModel):
    path: str
    outcome: Expected
    reason: str | None
    why: str


class _SitePages(BaseModel):
    pages: list[_SitePage]
    scripted: str


class _SiteQuestion(BaseModel):
    query: str
    path: str


def site_pages(site_url: str) -> tuple[list[ExpectedPage], ExpectedPage]:
    """Ask the demo site which pages it has and what should become of each; the last one is made by JavaScript."""
    answer = httpx.get(f"{site_url}/pages.json", timeout=SITE_TIMEOUT_SECONDS).raise_for_status()
    site = _SitePages.model_validate_json(answer.content)
    pages = [
        ExpectedPage(url=site_url + page.path, label=page.path, outcome=page.outcome, reason=page.reason, why=page.why)
        for page in site.pages
    ]
    return pages, ExpectedPage(url=site_url + site.scripted, label=site.scripted, outcome=Expected.INDEXED)


def site_questions(site_url: str) -> list[Question]:
    """Return the six questions, with the pages that answer them on this site."""
    listed = TypeAdapter(dict[str, list[_SiteQuestion]]).validate_json(QUESTIONS_FILE.read_bytes())
    return [Question(query=one.query, url=site_url + one.path) for one in listed["questions"]]
