"""What all requests of a client have in common: where to, with which key, and how patiently."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import random
from typing import Final
from urllib.parse import urlsplit

from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.version import VERSION

PATIENCE_SECONDS: Final = 60.0
MOST_ATTEMPTS: Final = 10
KEY_FORM: Final = re.compile(r"[!-~]{1,4096}")


class Key:
    """An API key: in no text, in no log, in no copy of a client's settings."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not KEY_FORM.fullmatch(value):
            raise ConfigurationError("the API key is empty, or has blanks or letters that no key has")
        self._value = value

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not to be copied or written anywhere")

    def header(self) -> Mapping[str, str]:
        """Return the header that it is sent in."""
        return {"X-API-Key": self._value}

    def masked_in(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self._value, "…")


def checked_url(url: str) -> str:
    """Return a gateway's address without a slash at its end.

    Raises
    ------
    ConfigurationError
        If it is none; the text does not repeat what may have a password in it.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ConfigurationError("the gateway's address can't be read; it looks like https://ml.example.com") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("the gateway's address begins with https:// or http://, as in https://ml.example.com")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError("the gateway's address has no user, no password, no ? and no # in it")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


@dataclass(frozen=True)
class Session:
    """What every operation is given.

    Parameters
    ----------
    url
        The gateway's address.
    key
        None for the routes that need none.
    patience_seconds
        How long one call may go on being tried again, all waits included; its first attempt has its request's own time.
    most_attempts
        How often one call is sent at most.
    clock, chance
        Seconds that only go forward, and a number in [0, 1).
    """

    url: str
    key: Key | None
    patience_seconds: float = PATIENCE_SECONDS
    most_attempts: int = MOST_ATTEMPTS
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = field(default=random)

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        own = {"User-Agent": f"cloudcix-ml/{VERSION}", "Accept": "application/json"}
        return own | dict(self.key.header() if self.key else {})

    def deadline(self, seconds: float | None) -> float:
        """Return the time of the clock at which a wait is over; infinite for None."""
        return float("inf") if seconds is None else self.clock() + seconds
