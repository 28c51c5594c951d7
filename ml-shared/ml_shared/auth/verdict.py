"""What Membership answers, once it is understood."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

MAX_NAME_CHARACTERS: Final = 128
MAX_SCOPES: Final = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Membership said of a key."""

    valid: bool
    account_id: str | None = None
    tier: str = "default"
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outage:
    """Why there is no verdict.

    It is returned and not raised: an httpx error holds its request, and that holds the key.
    """

    reason: str
    retry_after_seconds: float = 1.0
    counts: bool = True  # towards the breaker


def parse_verdict(answer: bytes) -> Verdict | Outage:
    """Read `{"valid": true, "account_id"?, "tier"?, "scopes"?}`; whatever is not that is an outage, never a guess."""
    try:
        body = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return Outage("garbage")
    if not isinstance(body, dict) or not isinstance(body.get("valid"), bool):
        return Outage("garbage")
    if not body["valid"]:
        return Verdict(valid=False)
    account, tier, scopes = body.get("account_id"), body.get("tier"), body.get("scopes")
    if type(account) is int:
        account = str(account)
    if scopes is None:
        scopes = []  # anything else that is falsy is no list, and would widen what was to be narrowed
    # from here on it is one account's data that is odd, and no reason to stop asking about the others
    if not isinstance(scopes, list) or len(scopes) > MAX_SCOPES:
        return Outage("garbage_account", counts=False)
    if not all(_is_name(value) for value in (account, tier) if value is not None) or not all(map(_is_name, scopes)):
        return Outage("garbage_account", counts=False)
    return Verdict(True, account, tier or "default", tuple(scopes))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARACTERS and value.isprintable()
