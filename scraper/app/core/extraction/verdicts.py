"""Whether a page that came is the page that was asked for.

Success with status 200 is what many sites answer where they mean something else: a check whether we are a browser, a
form to log in with, an application that has yet to be run, "not found". A reader sees it at once, because such a page
says that and nothing else. So this goes by how much else there is; words alone decide nothing, since an article about
CAPTCHAs has them all. Where it can't be told, the page counts as one.

Nothing here is about one site. What products put into the pages of many sites is known by name (`_CHALLENGES`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from app.core.errors import ChallengePageError, EmptyContentError, LoginRequiredError
from app.core.extraction import wordings
from app.core.extraction.shape import Block, Shape, words
from ml_shared.contracts.scraping import ExtractionWarning

SHORT_WORDS: Final = 200
# pages that stand in another's place are shorter; nothing of what follows is asked about a longer one
LITTLE_WORDS: Final = 12
_ASIDE_WORDS: Final = 60
# what a check may say beside its own matter: who protects the site, whom to write to
_BARELY_WORDS: Final = 6
# a name, a mark: what is there and is nothing
_MOSTLY: Final = 0.5
_NEARLY_ALL: Final = 0.6
_LOGIN_WORDS: Final = 40
# beside a form to log in with: what the site is, how to get an account
_NOTICE_WORDS: Final = 60
_MISSING_WORDS: Final = 150
_PARAGRAPH_WORDS: Final = 40
_MENU_ENTRIES: Final = 12
# as many short links beside "Loading…" are a menu without a landmark; more may be an index
_HIDDEN_WORDS: Final = 30
_ELEMENTS_MAX: Final = 3_000
_SCRIPT_MAX_CHARACTERS: Final = 20_000
_NOTICE_MAX_CHARACTERS: Final = 1_000
_MARKS: Final = re.compile(r"^[#>*+\-\s]+|[*_`]+")
# of Markdown, as far as such lines have any
_TOPIC: Final = re.compile(r"captcha|\bro?bots?\b|\bbots?\b|\bhow\b|\bwhat\b|\bwhy\b", re.IGNORECASE)
_TOLD_BY: Final = ("id", "class", "src", "action", "name", "content", "href")
_TITLE_PARTS: Final = re.compile(r"\s+[-|–—·•»:]+\s+|\s*[|»]\s*|:\s+")

_CHALLENGES: Final = re.compile(
    r"_cf_chl_opt|__cf_chl_|jschl[-_](?:vc|answer)|cf-browser-verification|(?:^|\s)cf-challenge|challenge-(?:form|running|stage)\b"
    r"|challenge-error-t\w+|/cdn-cgi/(?:l/chk_|challenge-platform/h/\w+/orchestrate)"  # Cloudflare
    r"|captcha-delivery\.com/(?:c\.js|captcha|interstitial)|\bdd\s*=\s*\{['\"]rt['\"]\s*:"  # DataDome
    r"|\bpx-captcha\b|_pxBlockedUrl|/px/captcha"  # PerimeterX, HUMAN
    r"|_Incapsula_Resource\?(?:SWUDNSAI|CWUDNSAI)|\bincident_id=\d|\bmain-iframe\b.*incapsula"  # Imperva
    r"|\bsec-(?:if-)?cpt-(?:container|if)\b|/_sec/(?:cp_challenge|verify)|\bbm-verify\b"  # Akamai
    r"|\bgokuProps\b|awsWafCookieDomainList|AwsWafIntegration\.|\.captcha\.awswaf\.com|challenge-container\b.*awswaf"  # AWS
    r"|sucuri_cloudproxy_js|/\.well-known/(?:sgcaptcha|vercel/security|ddos-guard)|check\.ddos-guard\.net"
    r"|\banubis_(?:challenge|version)\b|/\.within\.website/x/cmd/anubis|\bgo-away\b.*challenge"  # Anubis
    r"|aliyun_waf_|acw_sc__v2|_waf_bd8ce2ce37|ct_anti_ddos_key|\bslowAES\b|wappass\.baidu\.com|/showcaptcha\b"
)
"""Of what products put into their checks, and into nothing else."""
_GUARDS: Final = re.compile(
    r"_Incapsula_Resource|\.awswaf\.com|/TSPD/|\bbobcmn\b|\bKPSDK\b|/ips\.js\?|/cdn-cgi/challenge-platform/|_pxAppId|js\.datadome\.co",
)
"""Of what products put into pages as well: a check only where a page says nothing."""
_WIDGETS: Final = re.compile(
    r"(?:^|\s)(?:g-recaptcha|h-captcha|cf-turnstile|frc-captcha|mtcaptcha|smart-captcha|altcha|geetest_\w+|captcha(?:-\w+)?)(?=\s|$)"
    r"|/recaptcha/api2?/|hcaptcha\.com/1/api|challenges\.cloudflare\.com/turnstile",
    re.IGNORECASE,
)
_APP_ROOTS: Final = frozenset(
    "root app __next __nuxt ___gatsby app-root react-root main-app application svelte q-app mount ember-app".split()
)
_APP_TAGS: Final = frozenset({"app-root", "my-app", "ember-app", "flutter-view"})
_LOGIN_PATHS: Final = re.compile(
    r"/(?:log[-_]?[io]n|sign[-_]?in|sign[-_]?on|sso|auth(?:enticate|entication|orize)?|oauth2?|saml2?|cas|accounts?/login"
    r"|anmelden|connexion|wp-login|session/new|sessions/new|users/sign_in|identity)(?:[/._-]|$)",
    re.IGNORECASE,
)
_SENDS_ON: Final = re.compile(
    r"\blocation\s*(?:\.\s*(?:href|assign|replace)\s*)?(?:=[^=]|\()|\bdocument\s*\.\s*forms?\b.{0,80}\.submit\s*\("
)
_NO_INDEX: Final = re.compile(r"\b(?:noindex|none)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """What a verdict goes by.

    Attributes
    ----------
    tree
        The page, as it came.
    url
        Where it came from, after redirects.
    """

    tree: HtmlElement
    shape: Shape
    url: str
    title: str | None
    heading: str | None

    @cached_property
    def own(self) -> list[Block]:
        """What is neither furniture nor hidden."""
        return self.shape.own

    @cached_property
    def text(self) -> wordings.Text:
        """What the page says of its own."""
        return wordings.Text(block.text for block in self.own)

    @cached_property
    def titles(self) -> list[str]:
        """Title and heading, and the parts of them that may be the site's name or not."""
        given = [title for title in (self.title, self.heading) if title]
        return given + [part for title in given for part in _TITLE_PARTS.split(title) if part]

    @property
    def is_short(self) -> bool:
        """Whether it is as short as what stands in a page's place."""
        return self.shape.own_words <= SHORT_WORDS and self.shape.hidden_words <= SHORT_WORDS

    @property
    def says_little(self) -> bool:
        """Whether it is a notice at most."""
        return self.shape.own_words + self.shape.hidden_words <= _NOTICE_WORDS

    def is_titled(self, *named: wordings.Wording) -> bool:
        """Return whether title or heading says one of these."""
        return any(wording.is_said(title) for wording in named for title in self.titles)

    def rest(self, *wording: wordings.Wording) -> int:
        """Return how many words say something else."""
        return self.text.words - self.text.says(*wording)


def refuse_challenge(facts: Facts) -> None:
    """Look whether a page is a check whether we are a browser, or a person.

    Raises
    ------
    ChallengePageError
        If it is.
    """
    if facts.is_short and _is_challenge(facts):
        raise ChallengePageError("the site answered with a check whether we are a browser or a person, not with the page")


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
    if reason is not None and text.words - text.says(*_NOTICES) <= _BARELY_WORDS:
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


def kept_share(shape: Shape, content: str) -> float | None:
    """Return which share of the words that a page shows its text has, about: numbers of words are compared, not words."""
    return min(words(content) / shape.shown_words, 1.0) if shape.shown_words else None


_CHECKS: Final = (wordings.CHALLENGE, wordings.JAVASCRIPT, wordings.LOADING, wordings.REDIRECTING)
_NOTICES: Final = (wordings.JAVASCRIPT, wordings.LOADING, wordings.REDIRECTING)


def _is_challenge(facts: Facts) -> bool:
    text, rest = facts.text, facts.rest(*_CHECKS)
    marks = set(_marks(facts.tree))
    titled = facts.is_titled(wordings.CHALLENGE_TITLE)
    if "challenge" in marks and rest <= _ASIDE_WORDS:
        return True
    if "guard" in marks and rest <= _BARELY_WORDS and not _is_app(facts.tree):
        return True
    checks = [said for said in text.saying(wordings.CHALLENGE) if said not in facts.titles]
    if "widget" in marks and not facts.shape.typed_fields and rest <= _ASIDE_WORDS // 2:
        return titled or bool(checks) or text.words <= _BARELY_WORDS
    said = text.words - rest
    if titled and checks and said >= _MOSTLY * text.words:
        return True
    # without such a title: a page that acts, whose every sentence is of it, and that is not about it
    return (
        len(checks) >= 2
        and said >= _NEARLY_ALL * text.words
        and "active" in marks
        and not any(_TOPIC.search(title) for title in facts.titles)
    )


def _marks(tree: HtmlElement) -> Iterable[str]:
    """Yield what is known of a page's elements: `challenge`, `guard`, `widget`; `active` if it does something."""
    for element in islice(tree.iter("script", "iframe", "form", "div", "input", "meta", "link", "a", "span"), _ELEMENTS_MAX):
        tag = element.tag
        if tag in ("script", "iframe", "form"):
            yield "active"
        if tag == "a":
            continue
        told = " ".join(element.get(name) or "" for name in _TOLD_BY)
        if tag == "script" and element.text:
            told += element.text[:_SCRIPT_MAX_CHARACTERS]
        if not told.strip():
            continue
        if _CHALLENGES.search(told):
            yield "challenge"
        if _GUARDS.search(told):
            yield "guard"
        if tag != "script" and _WIDGETS.search(told):
            yield "widget"


def _is_login(facts: Facts) -> bool:
    own = [block for block in facts.own if block.text not in facts.titles]
    named = facts.is_titled(wordings.LOGIN_HEADING) or _LOGIN_PATHS.search(urlsplit(facts.url).path) is not None
    for form in facts.shape.passwords:
        outside = [block for block in own if form is None or block.form is not form]
        count = sum(block.words for block in outside)
        said = any(wordings.LOGIN_HEADING.is_said(block.text) for block in own if block.words <= _BARELY_WORDS)
        if any(block.words >= _PARAGRAPH_WORDS for block in outside):
            continue
        if count <= _LOGIN_WORDS and (named or said or count <= _BARELY_WORDS):
            return True
    asked = facts.text.says(wordings.LOGIN)
    if not asked or facts.text.words > _NOTICE_WORDS:
        return False
    links = [block for block in own if block.linked and wordings.LOGIN_HEADING.is_said(block.text)]
    led = bool(links) or any(_LOGIN_PATHS.search(link.get("href")) for link in islice(facts.tree.iterfind(".//a[@href]"), 200))
    return led and facts.rest(wordings.LOGIN, wordings.LOGIN_HEADING) <= facts.text.words * (1 - _MOSTLY)


def _emptiness(facts: Facts) -> str | None:
    """Return why a page says nothing of its own, if it says nothing."""
    if facts.shape.hidden_words > _HIDDEN_WORDS:
        return None
    menu = [block for block in facts.own if block.linked and block.words <= _BARELY_WORDS]
    left_out = {block.text for block in menu} if len(menu) <= _MENU_ENTRIES else set()
    text = wordings.Text(
        block.text for block in facts.own if block.text not in left_out and block.text not in facts.titles
    )
    fallback = wordings.Text(block.text for block in facts.shape.blocks if block.noscript)
    if fallback.words - fallback.says(*_NOTICES) > _NOTICE_WORDS:
        return None  # the whole of it, for readers without JavaScript
    rest = text.words - text.says(*_NOTICES)
    reason = _notice(text) or _notice(fallback)
    if reason is None and _is_app(facts.tree):
        reason = _BY_JAVASCRIPT
    if reason is not None and rest <= _BARELY_WORDS:
        return reason
    scripted = text.says(wordings.JAVASCRIPT)
    if scripted >= _NEARLY_ALL * text.words > 0 and text.words <= _NOTICE_WORDS and _is_active(facts.tree):
        return _BY_JAVASCRIPT
    return None


def _notice(text: wordings.Text) -> str | None:
    if text.says(wordings.JAVASCRIPT):
        return _BY_JAVASCRIPT
    if text.says(wordings.LOADING):
        return "it says that it is loading; JavaScript, which is not run, would put the text there"
    if text.says(wordings.REDIRECTING):
        return "it says that the text is elsewhere, and leads there by JavaScript, which is not run, or not at all"
    return None


def _missing_text(facts: Facts) -> str:
    scripts = (element.text or "" for element in islice(facts.tree.iter("script"), _ELEMENTS_MAX))
    if any(_SENDS_ON.search(script[:_SCRIPT_MAX_CHARACTERS]) for script in scripts):
        return "it leads elsewhere by JavaScript, which is not run"
    if next(facts.tree.iter("frame", "iframe"), None) is not None:
        return "it is made of frames, other pages"
    return "one that is made by JavaScript looks like this"


_BY_JAVASCRIPT: Final = "it is made by JavaScript, which is not run"


def _is_app(tree: HtmlElement) -> bool:
    """Return whether an application is to be put into the page, and is not there yet."""
    for element in islice(tree.iter("div", "main", "section", *_APP_TAGS), _ELEMENTS_MAX):
        names = f"{element.get('id', '')} {element.get('class', '')}".lower().split()
        if element.tag in _APP_TAGS or not _APP_ROOTS.isdisjoint(names):
            return not words(element.text_content()[:_NOTICE_MAX_CHARACTERS])
    return False


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
    signs = (further, _is_not_to_be_indexed(facts.tree), _is_home(canonical, facts.url), text.words <= _NOTICE_WORDS // 2)
    return sum(signs) >= (1 if titled else 2)


def _is_not_to_be_indexed(tree: HtmlElement) -> bool:
    return any(
        element.get("name").strip().lower() == "robots" and _NO_INDEX.search(element.get("content") or "")
        for element in islice(tree.iterfind(".//meta[@name]"), _ELEMENTS_MAX)
    )


def _is_home(canonical: str | None, url: str) -> bool:
    return canonical is not None and urlsplit(canonical).path in ("", "/") and urlsplit(url).path not in ("", "/")
