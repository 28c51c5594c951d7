"""Addresses of pages: the one form in which a URL is in a run."""

import hashlib
import re
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from ml_shared.web.urls import normalise_url

HASH_BYTES: Final = 16
TRACKING_PARAMETERS: Final = frozenset(
    {
        *(
            "gclid",
            "gclsrc",
            "dclid",
            "gbraid",
            "wbraid",
            "fbclid",
            "msclkid",
            "yclid",
            "ttclid",
            "twclid",
            "li_fat_id",
        ),
        *("igshid", "igsh", "mc_cid", "mc_eid", "mkt_tok", "vero_id", "oly_anon_id", "oly_enc_id", "rb_clickid"),
        *("wickedid", "s_cid", "epik", "srsltid", "ref_src", "ref_url", "_ga", "_gl", "_hsenc", "_hsmi", "__hssc"),
        *("__hstc", "__hsfp", "hsctatracking", "ml_subscriber", "ml_subscriber_hash", "piwik_campaign", "piwik_kwd"),
        *("pk_campaign", "pk_kwd", "mtm_campaign", "mtm_kwd", "mtm_source", "mtm_medium", "_openstat", "trk_contact"),
        *("phpsessid", "jsessionid", "aspsessionid", "sessionid", "session_id", "sid", "cfid", "cftoken", "zenid"),
    }
)
"""Parameters that say who came and from where, never what the page is; in lower case. `keep_query: true` keeps them."""
TRACKING_PREFIXES: Final = ("utm_", "hsa_", "aspsessionid")

_SESSION_IN_PATH: Final = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/;?]*", re.IGNORECASE)


def page_url(url: str, *, keep_query: bool = False) -> str:
    """Return the form in which a URL is in a run: normalised, without its fragment and what only tracks who comes.

    Parameters
    ----------
    keep_query
        Whether tracking parameters and session ids are part of it.

    Raises
    ------
    ml_shared.web.hosts.InvalidUrlError
        If nothing can be fetched from it.
    """
    normal = normalise_url(url)
    if keep_query:
        return normal
    parts = urlsplit(normal)
    query = "&".join(one for one in parts.query.split("&") if one and not _tracks(one))
    path = _SESSION_IN_PATH.sub("", parts.path) if ";" in parts.path else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _tracks(parameter: str) -> bool:
    name = unquote(parameter.partition("=")[0]).lower()
    return name in TRACKING_PARAMETERS or name.startswith(TRACKING_PREFIXES)


def hash_of(url: str) -> bytes:
    """Return what a URL is found by within a run: 16 bytes, whatever its length."""
    return hashlib.sha256(url.encode()).digest()[:HASH_BYTES]
