"""What is a page, and what stands in one's place."""

from contextlib import nullcontext, suppress

import pytest
from genuine_pages import REAL
from lxml.html import HTMLParser, document_fromstring
from more_stand_ins import MORE_CHALLENGES, MORE_EMPTIES, MORE_LOGINS, MORE_REAL
from stand_ins import CHALLENGES, EMPTIES, LOGINS, MISSING, SENTENCES, SIGN_IN, page

from app.core.errors import ChallengePageError, EmptyContentError, LoginRequiredError
from app.core.extraction import refreshes, verdicts
from app.core.extraction.extract import extract
from app.core.extraction.facts import Facts
from app.core.extraction.result import Extract
from app.core.extraction.shape import shape_of
from ml_shared.contracts.scraping import ExtractionWarning
from ml_shared.testing.pace import processor_time

URL = "https://harbour.example/notices/12"
ALL_CHALLENGES = {**CHALLENGES, **MORE_CHALLENGES}
ALL_LOGINS = {**LOGINS, **MORE_LOGINS}
ALL_EMPTIES = {**EMPTIES, **MORE_EMPTIES}
ALL_REAL = {**REAL, **MORE_REAL}


def read(html: str, url: str = URL) -> Extract:
    return extract(html.encode(), url=url, media_type="text/html", charset="utf-8")


@pytest.mark.parametrize("name", ALL_CHALLENGES)
def test_a_check_whether_we_are_a_browser_is_no_page(name: str) -> None:
    with pytest.raises(ChallengePageError) as caught:
        read(ALL_CHALLENGES[name])
    assert (caught.value.code, caught.value.retryable) == ("challenge_page", False)


@pytest.mark.parametrize("name", ALL_LOGINS)
def test_a_log_in_is_no_page(name: str) -> None:
    with pytest.raises(LoginRequiredError) as caught:
        read(ALL_LOGINS[name])
    assert (caught.value.code, caught.value.retryable) == ("login_required", False)


@pytest.mark.parametrize("name", ALL_EMPTIES)
def test_a_page_that_says_only_that_it_will_say_something_is_empty(name: str) -> None:
    with pytest.raises(EmptyContentError) as caught:
        read(ALL_EMPTIES[name])
    assert caught.value.code == "empty_content"


@pytest.mark.parametrize("name", MISSING)
def test_a_page_that_says_that_there_is_none_is_read_with_a_warning(name: str) -> None:
    found = read(MISSING[name])
    assert found.content
    assert ExtractionWarning.LOOKS_MISSING in found.warnings


@pytest.mark.parametrize("name", ALL_REAL)
def test_a_page_that_has_such_words_is_a_page(name: str) -> None:
    found = read(ALL_REAL[name])
    assert (found.refresh, ExtractionWarning.LOOKS_MISSING in found.warnings) == (None, False)
    assert found.content


@pytest.mark.parametrize("name", sorted({*ALL_CHALLENGES, *ALL_LOGINS, *ALL_EMPTIES} - {"frames"}))
def test_the_same_below_an_article_is_a_page(name: str) -> None:
    html = {**ALL_CHALLENGES, **ALL_LOGINS, **ALL_EMPTIES}[name]
    article = f"<article><h1>The flood</h1><p>{SENTENCES}</p><p>{SENTENCES}</p></article>"
    assert "opened the sluice" in read(html.replace("<body>", f"<body>{article}")).content


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("an application", "made by JavaScript"),
        ("JavaScript in German", "made by JavaScript"),
        ("loading", "says that it is loading"),
        ("redirecting", "elsewhere"),
        ("a script that leads on", "leads elsewhere by JavaScript"),
        ("frames", "made of frames"),
    ],
)
def test_an_empty_page_says_why_it_is(name: str, said: str) -> None:
    with pytest.raises(EmptyContentError, match=said):
        read(ALL_EMPTIES[name])


def test_a_form_at_an_address_for_logging_in_is_a_log_in() -> None:
    html = page(
        f"<p>Welcome to the harbour. All boats, all tides, one key.</p>{SIGN_IN.replace('Log in', 'Go')}", "Harbour"
    )
    with pytest.raises(LoginRequiredError):
        read(html, "https://harbour.example/accounts/login?next=/notices/12")


@pytest.mark.parametrize(
    ("content", "is_text"),
    [
        ("# Boats\n\nLoading...", False),
        ("# Boats\n\n- Loading...\n- *Please wait*", False),
        ("Please enable JavaScript to see the boats.", False),
        ("# Boats\n\nLoading...\n\nThe boats of our harbour, from the small to the large.", True),
        ("# Loading\n\nWhat a crane does with a ship", True),
        ("# Boats", True),
    ],
)
def test_what_is_made_of_a_page_is_no_text_if_all_of_it_is_loading(content: str, is_text: bool) -> None:
    tree = document_fromstring(page(f"<p>{SENTENCES}</p>", "Boats"))
    facts = Facts(tree, shape_of(tree), URL, "Boats", None)
    with nullcontext() if is_text else pytest.raises(EmptyContentError):
        verdicts.refuse_notice(content, facts)


def test_a_text_of_a_dozen_words_is_told_as_little() -> None:
    assert read(page("<h1>Closed</h1><p>The bridge is closed.</p>")).warnings == [ExtractionWarning.LITTLE_TEXT]
    assert read(page(f"<h1>Closed</h1><p>{SENTENCES}</p>")).warnings == []


def test_how_much_of_what_a_page_shows_was_kept_is_told() -> None:
    menu = "<nav>" + "".join(f"<a href='/{number}'>Another page {number}</a> " for number in range(70)) + "</nav>"
    found = read(page(f"{menu}<main><h1>Tides</h1><p>{SENTENCES}</p></main><p hidden>{SENTENCES}</p>", "Tides"))
    assert found.kept_share == pytest.approx(0.5, abs=0.1)
    assert found.method
    assert extract(b"some words", url=URL, media_type="text/plain", charset=None).kept_share == 1.0


@pytest.mark.parametrize(
    "body",
    [
        "<div class='x'>" * 1_000 + "Loading ",
        "<p>Loading " * 100_000,
        "Loading please wait " * 20_000,
        "<a href='/'>please wait</a>" * 100_000,
        "verify " * 100_000,
        "<script>" + "location " * 100_000 + "</script>",
        "<meta http-equiv=refresh content='" + "0 " * 100_000 + "'>",
        "<div class='" + "captcha " * 100_000 + "'>",
    ],
)
def test_a_hostile_page_is_judged_in_no_time(body: str) -> None:
    tree = document_fromstring(page(body), parser=HTMLParser(huge_tree=True))
    facts = Facts(tree, shape_of(tree), URL, "Loading " * 60, "please wait " * 60)
    with processor_time() as spent, suppress(ChallengePageError, EmptyContentError):
        verdicts.refuse_challenge(facts)
        refreshes.target(tree, "0 " * 100_000, URL, says_little=facts.says_little)
        verdicts.refuse_stand_in(facts)
        verdicts.refuse_notice("Loading please " * 60, facts)
        verdicts.warnings_of(facts, "", None)
    assert spent.seconds < 5
