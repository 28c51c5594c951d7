"""Who is calling."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

CallerType = Literal["user", "service", "unknown"]


def hash_key(raw_key: str) -> str:
    """Return the SHA-256 of an API key as 64 hexadecimal digits: the only form in which a key is ever kept."""
    return hashlib.sha256(raw_key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CallerContext:
    """A caller who has been identified, for the length of one request.

    Attributes
    ----------
    caller_id
        SHA-256 of the key, hexadecimal. The raw key is nowhere.
    caller_type
        `service` for an internal caller, `user` for a key that Membership vouches for.
    service
        An internal caller's name (`orchestrator`, `scraper`, …), else `None`.
    owner
        `acct:<account_id>` or `key:<hash>`: what everything that belongs to someone carries.
    tier
        As Membership says; decides limits.
    scopes
        As Membership says; empty means not narrowed.
    is_internal
        Whether the caller is a service of the fleet.
    request_id
        Joins the gateway's log, our logs and our spans.
    """

    caller_id: str
    caller_type: CallerType
    owner: str
    service: str | None = None
    tier: str = "default"
    scopes: frozenset[str] = field(default_factory=frozenset)
    is_internal: bool = False
    request_id: str = ""
