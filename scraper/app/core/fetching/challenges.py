"""Answers whose headers say that they are a check whether we are a browser. Their bodies need not be read to know it."""

from collections.abc import Mapping
from typing import Final

from app.core.errors import ChallengePageError

_SAYING: Final = {
    "cf-mitigated": frozenset({"challenge"}),
    "x-amzn-waf-action": frozenset({"challenge", "captcha"}),
}
# Cloudflare's and AWS WAF's, as they document them. Others' can be told from the body alone, which `verdicts` reads
# when it comes with a status of success; with another it stays `http_status`


def refuse_challenge(status: int, headers: Mapping[str, str]) -> None:
    """Look at an answer's headers, whatever its status: a challenge may come with 202.

    Raises
    ------
    ChallengePageError
        If they say that it is a check.
    """
    for name, values in _SAYING.items():
        if headers.get(name, "").strip().lower() in values:
            raise ChallengePageError(
                f"the site answered with a check whether we are a browser (HTTP status {status}, {name})",
                extra={"upstream_status": status},
            )
