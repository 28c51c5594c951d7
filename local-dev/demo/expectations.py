"""What the demo submits and asks, and what should come of it."""

from pathlib import Path

import httpx
from pydantic import BaseModel, TypeAdapter

from ml_shared.contracts.jobs import JobStatus

QUESTIONS_FILE = Path(__file__).with_name("questions.json")
SITE_TIMEOUT_SECONDS = 10.0


class ExpectedPage(BaseModel):
    """A page to submit. `by_script`: it is empty until a browser has run its scripts, and left out where none is."""

    url: str
    label: str
    outcome: JobStatus
    error_code: str | None = None
    why: str = ""
    by_script: bool = False


class Question(BaseModel):
    """A question, and the address of the page that answers it; without one, whatever comes first is right."""

    query: str
    url: str | None = None


class _SitePage(BaseModel):
    path: str
    outcome: JobStatus
    error_code: str | None
    why: str
    by_script: bool = False


class _SitePages(BaseModel):
    pages: list[_SitePage]


class _SiteQuestion(BaseModel):
    query: str
    path: str


def site_pages(site_url: str) -> list[ExpectedPage]:
    """Ask the demo site which pages it has and what should become of each."""
    answer = httpx.get(f"{site_url}/pages.json", timeout=SITE_TIMEOUT_SECONDS).raise_for_status()
    return [
        ExpectedPage(url=site_url + page.path, label=page.path, **page.model_dump(exclude={"path"}))
        for page in _SitePages.model_validate_json(answer.content).pages
    ]


def site_questions(site_url: str) -> list[Question]:
    """Return the six questions, with the pages that answer them on this site."""
    listed = TypeAdapter(dict[str, list[_SiteQuestion]]).validate_json(QUESTIONS_FILE.read_bytes())
    return [Question(query=one.query, url=site_url + one.path) for one in listed["questions"]]
