"""Whether a page is a check whether we are a browser, or a person."""

import re
from itertools import islice
from typing import Final

from lxml.html import HtmlElement

from app.core.extraction import wordings
from app.core.extraction.facts import BARELY_WORDS, ELEMENTS_MAX, NOTICE_WORDS, SCRIPT_MAX_CHARACTERS, Facts, is_app

_ASIDE_WORDS: Final = 60
# what a check may say beside its own matter: who protects the site, whom to write to
_MOSTLY: Final = 0.5
_NEARLY_ALL: Final = 0.6
# shares of a page's words that are of the check
_TOPIC: Final = re.compile(r"captcha|\bro?bots?\b|\bbots?\b|\bhow\b|\bwhat\b|\bwhy\b", re.IGNORECASE)
_MARKED: Final = ("script", "iframe", "form", "div", "input", "meta", "link", "span")
_ACTIVE: Final = frozenset({"script", "iframe", "form"})
_TOLD_BY: Final = ("id", "class", "src", "action", "name", "content", "href")
_CHALLENGES: Final = re.compile(
    r"_cf_chl_opt|__cf_chl_|jschl[-_](?:vc|answer)|cf-browser-verification|(?:^|\s)cf-challenge|challenge-(?:form|running|stage)\b"
    r"|challenge-error-t\w+|/cdn-cgi/(?:l/chk_|challenge-platform/h/\w+/orchestrate)"  # Cloudflare
    r"|captcha-delivery\.com/(?:c\.js|captcha|interstitial)|\bdd\s*=\s*\{['\"]rt['\"]\s*:"  # DataDome
    r"|\bpx-captcha\b|_pxBlockedUrl|/px/captcha"  # PerimeterX, HUMAN
    r"|_Incapsula_Resource\?(?:SWUDNSAI|CWUDNSAI)|\bincident_id=\d"  # Imperva
    r"|\bsec-(?:if-)?cpt-(?:container|if)\b|/_sec/(?:cp_challenge|verify)|\bbm-verify\b"  # Akamai
    r"|\bgokuProps\b|awsWafCookieDomainList|AwsWafIntegration\.|\.captcha\.awswaf\.com"  # AWS
    r"|sucuri_cloudproxy_js|/\.well-known/(?:sgcaptcha|vercel/security|ddos-guard)|check\.ddos-guard\.net"
    r"|\banubis_(?:challenge|version)\b|/\.within\.website/x/cmd/anubis"  # Anubis
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
_CHECKS: Final = (wordings.CHALLENGE, wordings.JAVASCRIPT, wordings.LOADING, wordings.REDIRECTING, wordings.ONWARD)


def is_challenge(facts: Facts) -> bool:
    """Return whether a page is a check.

    By what products put into theirs, or by its title and what it says; and by how little else it says, for all of that
    is found in pages as well.
    """
    if not facts.is_short:
        return False
    text, rest = facts.text, facts.rest(*_CHECKS)
    marks = _Marks(facts.tree)
    titled = facts.is_titled(wordings.CHALLENGE_TITLE)
    checks = [said for said in text.saying(wordings.CHALLENGE) if said != facts.title]
    said = text.words - rest
    if marks.challenge and rest <= _ASIDE_WORDS:
        return True
    if marks.guard and rest <= BARELY_WORDS and facts.shape.shown_words <= NOTICE_WORDS and not is_app(facts.tree):
        return True
    topical = any(_TOPIC.search(title) for title in facts.titles)
    if marks.widget and not facts.shape.typed_fields:
        bare = text.words <= BARELY_WORDS and facts.shape.shown_words <= NOTICE_WORDS
        return titled or (not topical and rest <= _ASIDE_WORDS // 2 and (bool(checks) or bare))
    if titled and checks:
        return said >= _MOSTLY * text.words
    # without such a title: a page that acts, nearly all of whose sentences are of it, and that is not about it
    return marks.active and not topical and len(checks) >= 2 and said >= _NEARLY_ALL * text.words


class _Marks:
    """What is known of a page's elements.

    Attributes
    ----------
    active
        Whether it does something: a page that is only text checks nobody.
    """

    def __init__(self, tree: HtmlElement) -> None:
        self.active = self.challenge = self.guard = self.widget = False
        for element in islice(tree.iter(*_MARKED), ELEMENTS_MAX):
            self.active = self.active or element.tag in _ACTIVE
            told = " ".join(element.get(name) or "" for name in _TOLD_BY)
            if element.tag == "script":
                told += element.text or ""
            told = told[:SCRIPT_MAX_CHARACTERS]
            self.challenge = self.challenge or _CHALLENGES.search(told) is not None
            self.guard = self.guard or _GUARDS.search(told) is not None
            self.widget = self.widget or (element.tag != "script" and _WIDGETS.search(told) is not None)
