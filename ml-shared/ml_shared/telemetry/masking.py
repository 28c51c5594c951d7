"""What nobody may see in a log line or in the audit trail, and how it is masked: one set of rules for both.

Secrets are known by the name that they stand under (`api_key=…`, `"authorization": "…"`, `?X-Amz-Signature=…`) or by
their own look (a JWT, `sk-…`, a private key). A hash, an id and an ordinary URL stay as they are, and so do the names
that a service of language models is full of: `token_count`, `max_tokens`, `tokenizer`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

MASK: Final = "***"
MAX_DEPTH: Final = 8
# of nested values; what lies deeper becomes text, and a structure that contains itself comes to an end
SHORTEST_CHARACTERS: Final = 8
# neither a secret nor a name with one behind it is shorter

_KEYS: Final = ("access", "account", "api", "encryption", "master", "private", "secret", "service", "shared", "signing")
_BEFORE_KEY: Final = "|".join(f"(?<={kind}key)|(?<={kind}[_-]key)" for kind in _KEYS)
# a search for a class of first letters is several times as fast as one for alternatives
_NAME: Final = rf"""[acjkpstACJKPST] (?i:
    (?<=a)uthorization | (?<=c)redentials? | (?<=j)wt | (?<=k)ey (?: {_BEFORE_KEY} )
    | (?<=p)assw(?:or)?d | (?<=p)assphrase | (?<=s)ecret | (?<=s)ignature | (?<=t)oken
)"""
_COOKIE: Final = r"[cC] (?i: ookies? )"
_OPENS: Final = r"""(?: \\*["'] \s* , | (?: \\*["'] )? \s* [:=] ) [>\s]* (?: b?\\*["'] )?"""
# `name=`, `name: `, `"name": "`, and `(b'name', b'` as ASGI has it; a comma in prose is none of these
_QUOTED: Final = r"""(?<=\\["']) [^"'\\\n]+ | (?<=") (?: [^"\\\n] | \\. )+ | (?<=') (?: [^'\\\n] | \\. )+"""


class _Rule(NamedTuple):
    """A pattern that is only tried on texts that have one of the words in it, which costs a tenth as much to find."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


_RULES: Final = (
    _Rule(
        ("-----begin",),
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"),
        MASK,
    ),
    _Rule(
        ("cookie",),
        re.compile(rf"""( {_COOKIE} {_OPENS} ) (?: {_QUOTED} | [^\s"'\\] [^\r\n"'\\]* )""", re.VERBOSE),
        rf"\1{MASK}",
    ),
    _Rule(
        (
            *("key", "passw", "passphrase", "secret", "jwt", "credential", "authorization", "signature"),
            *("token=", "token:", "token =", "token :", 'token"', "token'", "token\\"),  # and not `token_count`
        ),
        re.compile(
            rf"""( {_NAME} {_OPENS} (?: (?i: bearer | basic | digest | negotiate | token | api-?key | aws4-hmac-sha256 ) \s+ | v1a?, )? )
            (?: {_QUOTED} | [^\s"'\\,;&)}}\]]+ )""",
            re.VERBOSE,
        ),
        rf"\1{MASK}",
    ),
    _Rule(("bearer ",), re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{6,}"), rf"\1{MASK}"),
    _Rule(("key=", "sig="), re.compile(r"""(?i)([?&](?:key|sig)=)[^\s&"'<>\\#]+"""), rf"\1{MASK}"),
    _Rule(("@",), re.compile(r"""(?i)\b([a-z][a-z0-9+.-]{0,30}://)[^\s/"']*@"""), rf"\1{MASK}@"),
    _Rule(("eyj",), re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*"), MASK),
    _Rule(
        ("sk-", "sk_", "ghp_", "github_pat_", "hf_", "whsec_", "xox", "aiza", "akia", "asia"),
        re.compile(
            r"\b(?:sk[-_](?=[\w-]{0,60}\d)[\w-]{16,}|ghp_\w{20,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{20,}"
            r"|whsec_[A-Za-z0-9+/=]{16,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|(?:AKIA|ASIA)[0-9A-Z]{16}\b)"
        ),
        MASK,
    ),
)
_ALPHANUMERIC: Final = ("AKIA", "ASIA", "AIza")
# how those begin that may have neither a separator nor a name before them
_SECRET_NAME: Final = re.compile(rf"(?: {_NAME} | {_COOKIE} ) \Z", re.VERBOSE)


@lru_cache(maxsize=4_096)
def is_secret_name(name: str) -> bool:
    """Tell whether what stands under this name is a secret, whatever it looks like."""
    return _SECRET_NAME.search(name) is not None


def mask_secrets(text: str) -> str:
    """Return the text with what looks like a key, a token, a password, a cookie or a signature replaced by `***`."""
    if len(text) < SHORTEST_CHARACTERS or (text.isalnum() and not text.startswith(_ALPHANUMERIC)):
        return text  # such as a hash and an id
    lowered = text.lower()
    for words, pattern, replacement in _RULES:
        for word in words:
            if word in lowered:
                text = pattern.sub(replacement, text)
                break
    return text


def masked(value: Any, *, depth: int = 0) -> Any:
    """Return a value as JSON takes it, with the secrets in it masked: by name in mappings, by their look anywhere."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {name: _masked_under(name, item, depth + 1) for name, item in _named(value)}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [masked(item, depth=depth + 1) for item in value]
    return mask_secrets(text_of(value))


def text_of(value: Any) -> str:
    """Return `str(value)`, whatever the value's own code does."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a line that says less is better than none
        return f"<unprintable {type(value).__name__}>"


def _named(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    return [(name.decode("latin-1") if isinstance(name, bytes) else str(name), item) for name, item in value.items()]


def _masked_under(name: str, value: Any, depth: int) -> Any:
    return MASK if value is not None and is_secret_name(name) else masked(value, depth=depth)
