"""URLs of PostgreSQL and Redis, the one place that makes and reads them: a password in one is percent-encoded."""

import re
from typing import Final
from urllib.parse import quote, urlsplit

POSTGRES_SCHEMES: Final = ("postgresql", "postgresql+asyncpg", "postgres")
REDIS_SCHEMES: Final = ("redis", "rediss")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_USERINFO: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
# what RFC 3986 allows before the @
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
ENCODE_IT: Final = (
    "a user name or password in it must be percent-encoded (@ is %40, / is %2F, # is %23, % is %25, a space is %20)"
)


class StoreUrlError(ValueError):
    """A URL that can't be read as it was meant. Its text repeats no part of it."""


def postgres_url(
    host: str, port: int, database: str, *, user: str, password: str, scheme: str = "postgresql+asyncpg"
) -> str:
    """Return a database's URL, in the form that the services document unless another scheme is asked for."""
    return f"{scheme}://{_userinfo(user, password)}{host}:{port}/{quote(database, safe='')}"


def redis_url(host: str, port: int, *, password: str, database: int = 0) -> str:
    """Return a Redis' URL."""
    return f"redis://{_userinfo('', password)}{host}:{port}/{database}"


def _userinfo(user: str, password: str) -> str:
    # `safe=""`: neither the slash nor a plus for the space, which only stands for one in a query
    return f"{quote(user, safe='')}:{quote(password, safe='')}@"


def check_store_url(url: str, schemes: tuple[str, ...]) -> str:
    """Return a URL whose parts are where its writer meant them to be.

    A raw `@ / # ? [` in a password ends it early, and a raw `%` changes it: drivers then speak to another host, or repeat
    a piece of the password in their error.

    Raises
    ------
    StoreUrlError
        If it has another scheme, no host, a port that is none, or a user name or password that is not encoded.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in schemes:
        raise StoreUrlError(f"no URL that starts with {schemes[0]}://")
    if not _PRINTABLE.fullmatch(url):
        raise StoreUrlError(f"a space, or what is no printable ASCII character; {ENCODE_IT}")
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is no IPv6 address
        raise StoreUrlError(ENCODE_IT) from None
    userinfo, _, address = parts.netloc.rpartition("@")
    behind_the_host = url.partition("://")[2].removeprefix(parts.netloc)
    if not _USERINFO.fullmatch(userinfo) or "@" in behind_the_host or "#" in behind_the_host:
        raise StoreUrlError(ENCODE_IT)
    if not all(_is_address(one) for one in address.split(",")):
        raise StoreUrlError(f"no host, or no port behind its colon; {ENCODE_IT}")
    return url


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 1) < 65_536
