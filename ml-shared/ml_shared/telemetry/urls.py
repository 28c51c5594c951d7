"""How a URL that somebody gave us is told of: in spans, log lines and the audit trail it is written by `told_url` alone.

A URL can be a key. Whoever has a signed one (`?X-Amz-Signature=…`, `?sig=…`, `?token=…`) may read what it names, and
more people read telemetry than may read a job. No list of the names that such values go by is complete, nor one of
harmless names, so no value of a query is told; names are, since they say what kind of address it was. The whole URL is
in the job's row, which its id leads to.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from ml_shared.telemetry.masking import MASK, mask_secrets, text_of

TOLD_MAX_CHARACTERS: Final = 512
# enough to recognise a page by; what is told is not what is fetched
INVALID: Final = "invalid"
CUT: Final = "…"
_NAME: Final = re.compile(r"[\w.$%\[\]-]{1,64}", re.ASCII)
# a longer one, or one of other characters, may as well be the secret
_IN_TEXT: Final = re.compile(r"""\bhttps?://[^\s"<>`\\]+""", re.IGNORECASE)
# with what may follow it, such as a quotation mark: rather too much than the end of a secret


def told_url(url: str) -> str:
    """Return what may be told of a URL: its scheme, host and path, and the names in its query.

    User information and the fragment are left out, secrets in the path are masked, and it is never longer than
    `TOLD_MAX_CHARACTERS`. What is no URL with a host is `invalid`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote a password
        return INVALID
    host = parts.netloc.rpartition("@")[2]
    if not parts.scheme or not host:
        return INVALID
    told = f"{parts.scheme}://{host}{mask_secrets(parts.path)}"
    if parts.query:
        told += "?" + "&".join(_parameter(parameter) for parameter in parts.query.split("&"))
    return told if len(told) <= TOLD_MAX_CHARACTERS else told[: TOLD_MAX_CHARACTERS - len(CUT)] + CUT


def with_told_urls(text: str) -> str:
    """Return a text in which others may have quoted URLs, such as an exception's, with each of them as `told_url` has it."""
    return _IN_TEXT.sub(lambda found: told_url(found[0]), text) if "://" in text else text


def told_text(value: object) -> str:
    """Return a text as it may be recorded: its secrets masked, and no more of a URL in it than `told_url` tells."""
    return mask_secrets(with_told_urls(text_of(value)))


def _parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={MASK}" if equals and _NAME.fullmatch(name) else MASK
