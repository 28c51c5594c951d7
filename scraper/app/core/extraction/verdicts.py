"""Whether a page that came is the page that was asked for.

Success with status 200 is what many sites answer where they mean something else: a check whether we are a browser, a
form to log in with, an application that has yet to be run, "not found". A reader sees it at once, because such a page
says that and nothing else. So this goes by how much else there is; words alone decide nothing, since an article about
CAPTCHAs has them all. Where it can't be told, the page counts as one.

Nothing here is about one site. What products put into the pages of many sites is known by name (`challenges`).
"""

import re
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from app.core.errors import ChallengePageError, EmptyContentError, LoginRequiredError
from app.core.extraction import wordings
from app.core.extraction.challenges import is_challenge
from app.core.extraction.facts import BARELY_WORDS, ELEMENTS_MAX, NOTICE_WORDS, SCRIPT_MAX_CHARACTERS, Facts, is_app
from app.core.extraction.shape import Block, words
from app.core.robots.directives import forbids_indexing, rules_in
from ml_shared.contracts.scraping import ExtractionWarning

LITTLE_WORDS: Final = 12
_NEARLY_ALL: Final = 0.6
_ASIDE_SHARE: Final = 0.5
_LINKS_MAX: Final = 200
_MENUS: Final = ("nav", "header", "footer", "aside")
_LOGIN_WORDS: Final = 40
_UNNAMED_LOGIN_WORDS: Final = 15
# beside a form to log in with: what the site is, how to get an account; less where no title says that it is one
_MISSING_WORDS: Final = 150
_PARAGRAPH_WORDS: Final = 40
_BARELY_BLOCKS: Final = 3
_MENU_ENTRIES: Final = 8
# as many short links beside "Loading…" are a menu without a landmark; more may be an index
_NOTICE_MAX_CHARACTERS: Final = 1_000
_MARKS: Final = re.compile(r"^[#>*+\-\s]+|[*_`]+")
# of Markdown, as far as such lines have any

_LOGIN_PATHS: Final = re.compile(
    r"/(?:log[-_]?[io]n|sign[-_]?in|sign[-_]?on|sso|auth(?:enticate|entication|orize)?|oauth2?|saml2?|cas|accounts?/login"
    r"|anmelden|connexion|wp-login|[^/]*userlogin|session/new|sessions/new|users/sign_in|identity)(?:[/._-]|$)",
    re.IGNORECASE,
)
_SENDS_ON: Final = re.compile(
    r"\blocation\s*(?:\.\s*(?:href|assign|replace)\s*)?(?:=[^=]|\()|\bdocument\s*\.\s*forms?\b.{0,80}\.submit\s*\("
)
_NOTICES: Final = (wordings.JAVASCRIPT, wordings.LOADING, wordings.REDIRECTING, wordings.ONWARD)
_BY_JAVASCRIPT: Final = "it is made by JavaScript, which is not run"
_BY_REDIRECT: Final = "it leads elsewhere by JavaScript, which is not run"


def refuse_challenge(facts: Facts) -> None:
    """Look whether a page is a check whether we are a browser, or a person.

    Raises
    ------
    ChallengePageError
        If it is.
    """
    if is_challenge(facts):
        raise ChallengePageError(
            "the site answered with a check whether we are a browser or a person, not with the page"
        )


def refuse_stand_in(facts: Facts) -> None:
    """Look whether a page stands in the place of the one that was asked for.

    Raises
    ------
    LoginRequiredError
        If it is a form to log in with, or says that one has to.
    EmptyContentError
        If it says that it needs JavaScript, or is loading, or sends its reader on in a way that is not followed.
    """
    if not facts.is_short:
        return
    if _is_login(facts):
        raise LoginRequiredError("the site answered with its log-in, not with the page")
    reason = _emptiness(facts)
    if reason is not None:
        raise EmptyContentError(f"the page holds no text of its own: {reason}")


def refuse_notice(content: str, facts: Facts) -> None:
    """Look whether what was made of a page is nothing but "loading" or "enable JavaScript", whatever is around it.

    Raises
    ------
    EmptyContentError
        If it is.
    """
    if len(content) > _NOTICE_MAX_CHARACTERS:
        return
    lines = (_MARKS.sub("", line).strip() for line in content.splitlines())
    titles = set(facts.titles)
    text = wordings.Text(line for line in lines if line and line not in titles)
    reason = _notice(text)
    if reason is not None and text.words - text.says(*_NOTICES) <= BARELY_WORDS:
        raise EmptyContentError(f"the page holds no text of its own: {reason}")


def empty(facts: Facts) -> EmptyContentError:
    """Return the error for a page that no text could be made of."""
    return EmptyContentError(f"the page holds no text: {_emptiness(facts) or _missing_text(facts)}")


def warnings_of(facts: Facts, content: str, canonical: str | None) -> list[str]:
    """Return what a reader should know of a page that counts as one."""
    missing = [ExtractionWarning.LOOKS_MISSING.value] if _looks_missing(facts, canonical) else []
    return missing + warnings_of_text(content)


def warnings_of_text(content: str) -> list[str]:
    """Return what a reader should know of a text, wherever it comes from."""
    return [ExtractionWarning.LITTLE_TEXT.value] if words(content) <= LITTLE_WORDS else []


def _is_login(facts: Facts) -> bool:
    return any(_is_the_matter(form, facts) for form in facts.shape.passwords) or _asks_to_log_in(facts)


def _is_the_matter(form: HtmlElement | None, facts: Facts) -> bool:
    """Return whether a form that asks for a password is what the page is about."""
    own = [block for block in facts.own if block.text not in facts.titles]
    outside = [block for block in own if form is None or block.form is not form]
    if any(block.words >= _PARAGRAPH_WORDS for block in outside):
        return False
    beside = wordings.Text(block.text for block in outside if not block.linked)
    other = beside.words - beside.says(wordings.LOGIN)
    if facts.is_titled(wordings.LOGIN_HEADING) or _LOGIN_PATHS.search(urlsplit(facts.url).path):
        return other <= _LOGIN_WORDS
    said = beside.words > other or any(
        wordings.LOGIN_HEADING.is_said(block.text) for block in own if block.words <= BARELY_WORDS
    )
    return other <= (_UNNAMED_LOGIN_WORDS if said else BARELY_WORDS)


def _asks_to_log_in(facts: Facts) -> bool:
    """Return whether a page says that one has to log in, leads there or asks who it is, and says little else."""
    text = facts.text
    if not text.says(wordings.LOGIN) or text.words > NOTICE_WORDS:
        return False
    labels = [block for block in text.blocks if words(block) <= BARELY_WORDS and wordings.LOGIN_HEADING.is_said(block)]
    other = wordings.Text(block for block in text.blocks if block not in labels)
    if other.words - other.says(wordings.LOGIN, wordings.ONWARD) > _ASIDE_SHARE * text.words:
        return False
    if facts.shape.typed_fields and facts.is_titled(wordings.LOGIN_HEADING):
        return True  # the password is asked for on the next page
    links = islice(facts.tree.iterfind(".//a[@href]"), _LINKS_MAX)
    return any(_leads_to_log_in(link) for link in links if not any(True for _ in link.iterancestors(*_MENUS)))


def _leads_to_log_in(link: HtmlElement) -> bool:
    if _LOGIN_PATHS.search(link.get("href")):
        return True
    text = " ".join(link.text_content()[:SCRIPT_MAX_CHARACTERS].split())
    return words(text) <= BARELY_WORDS and wordings.LOGIN_HEADING.is_said(text)


def _emptiness(facts: Facts) -> str | None:
    """Return why a page says nothing of its own, if it says nothing."""
    if facts.shape.hidden_words > NOTICE_WORDS:
        return None
    fallback = wordings.Text(block.text for block in facts.shape.blocks if block.noscript)
    if fallback.words - fallback.says(*_NOTICES) > NOTICE_WORDS:
        return None  # the whole of it, for readers without JavaScript
    if not facts.rest(*_NOTICES) and _sends_on(facts.tree):
        return _BY_REDIRECT
    own = [block for block in facts.own if block.text not in facts.titles]
    reason = _notice(wordings.Text(block.text for block in own))
    if reason is not None:
        menu = [block.text for block in own if block.linked and block.words <= BARELY_WORDS]
        if len(menu) <= _MENU_ENTRIES:
            own = [block for block in own if block.text not in menu]
        return reason if _says_no_more(own, BARELY_WORDS) or _mostly_scripted(facts, own) else None
    # a hint for readers without JavaScript is on many pages, and an application's place on some
    signs = (_notice(fallback), _BY_JAVASCRIPT if is_app(facts.tree) else None)
    most = BARELY_WORDS if all(signs) else BARELY_WORDS // 2
    return next(filter(None, signs), None) if _says_no_more(own, most) else None


def _says_no_more(blocks: list[Block], most: int) -> bool:
    """Return whether blocks say, beside that there will be something, a few words in a place or two."""
    others = [text for text in {block.text for block in blocks} if not wordings.Text([text]).says(*_NOTICES)]
    text = wordings.Text(block.text for block in blocks)
    return text.words - text.says(*_NOTICES) <= most and len(others) <= _BARELY_BLOCKS


def _mostly_scripted(facts: Facts, blocks: list[Block]) -> bool:
    """Return whether a page with scripts asks for JavaScript, at length."""
    text = wordings.Text(block.text for block in blocks)
    asked = text.says(wordings.JAVASCRIPT)
    return asked >= _NEARLY_ALL * text.words > 0 and text.words <= NOTICE_WORDS and _is_active(facts.tree)


def _notice(text: wordings.Text) -> str | None:
    if text.says(wordings.JAVASCRIPT):
        return _BY_JAVASCRIPT
    if text.says(wordings.LOADING):
        return "it says that it is loading; JavaScript, which is not run, would put the text there"
    if text.says(wordings.REDIRECTING):
        return "it says that the text is elsewhere, and leads there by JavaScript, which is not run, or not at all"
    return None


def _missing_text(facts: Facts) -> str:
    frames = facts.tree.iter("frame", "iframe")
    if any(not any(True for _ in frame.iterancestors("noscript")) for frame in frames):
        return "it is made of frames, other pages"
    return "one that is made by JavaScript looks like this"


def _sends_on(tree: HtmlElement) -> bool:
    scripts = (element.text or "" for element in islice(tree.iter("script"), ELEMENTS_MAX))
    return any(_SENDS_ON.search(script[:SCRIPT_MAX_CHARACTERS]) for script in scripts)


def _is_active(tree: HtmlElement) -> bool:
    return next(tree.iter("script", "noscript"), None) is not None


def _looks_missing(facts: Facts, canonical: str | None) -> bool:
    text = facts.text
    if facts.shape.own_words > _MISSING_WORDS:
        return False
    first = [block.text for block in facts.own[:3]]
    titled = facts.is_titled(wordings.MISSING_TITLE)
    if not (titled or any(wordings.MISSING_TITLE.is_said(block) for block in first)):
        return False
    further = any(said not in facts.titles for said in text.saying(wordings.MISSING))
    signs = (
        further,
        _is_not_to_be_indexed(facts.tree),
        _is_home(canonical, facts.url),
        text.words <= LITTLE_WORDS,
    )
    return sum(signs) >= (1 if titled else 2)


def _is_not_to_be_indexed(tree: HtmlElement) -> bool:
    return any(
        element.get("name").strip().lower() == "robots" and forbids_indexing(rules_in(element.get("content") or ""))
        for element in islice(tree.iterfind(".//meta[@name]"), ELEMENTS_MAX)
    )


def _is_home(canonical: str | None, url: str) -> bool:
    return canonical is not None and urlsplit(canonical).path in ("", "/") and urlsplit(url).path not in ("", "/")
