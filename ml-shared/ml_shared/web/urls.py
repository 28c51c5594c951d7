"""What a URL is to the fleet: one normal form, and the host that it belongs to."""

import re
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from ml_shared.web.hosts import InvalidUrlError as InvalidUrlError
from ml_shared.web.hosts import ascii_host

URL_MAX_CHARACTERS = 2_048
# longer ones fit neither a B-tree index row beside owner and corpus nor what browsers and proxies pass on
_ENCODED_MAX_CHARACTERS = 12
# of one: four bytes, each as %xx
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT_IN_URL = "%/:?#[]@!$&'()*+,;=~-._"
UPLOAD = "upload:"
_KEPT_IN_NAME = "!$&'()*+,;=~-._@"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_KEPT_IN_MEMORY = 2_048
# normal forms: that of a request's URL is asked for when its body is read, and again when it is worked with
_BEGINNING = re.compile(r"(https?)://([^/?#:@\[\]]*)(.*)", re.IGNORECASE | re.DOTALL)
_IN_PATH = r"A-Za-z0-9_~:@!$&'()*+,;=./-"
_NORMAL_ALREADY = re.compile(
    # a host has no empty label, a path no escape, which may stand for a dot, and a query one character at least
    rf"https?://[a-z0-9_-]+(?:\.[a-z0-9_-]+)*/[{_IN_PATH}]*(?:\?[{_IN_PATH}?]+)?"
)
# seeing that a URL is takes a tenth of making it so


class UrlTooLongError(InvalidUrlError):
    """More characters than a URL may have here, as it is written or encoded."""


def _host_as_written(parts: SplitResult) -> str | None:
    if parts.netloc.isascii():
        return parts.hostname
    # `hostname` is lower-case by the rules of Python, where Σ ends a word as ς; by those of host names it is σ everywhere
    return parts.netloc.rpartition("@")[2].partition(":")[0]


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    try:
        parts = urlsplit(url)
        host, port = _host_as_written(parts), parts.port
    except ValueError as error:
        # its text may quote a password
        raise InvalidUrlError("not a URL; give it as https://host/path") from error
    if not parts.scheme:
        raise InvalidUrlError("not an absolute URL; give it as https://host/path")
    if parts.scheme.lower() not in _DEFAULT_PORTS:
        raise InvalidUrlError("only http:// and https:// URLs can be fetched", code="blocked_scheme")
    if not host or not host.strip("."):
        raise InvalidUrlError("the URL has no host; give it as https://host/path")
    if port == 0:
        # "none given" to most of what reads ports: it would be another name, with a pace of its own, for port 80
        raise InvalidUrlError("the URL names port 0, which nothing can be fetched from")
    if parts.username is not None or parts.password is not None:
        raise InvalidUrlError("the URL carries a user name or password; leave them out")
    return parts, host, port


def _without_dots(path: str) -> str:
    # servers do it too: what a robots.txt says of /private has to be said of /public/../private
    kept: list[str] = []
    plain = ""
    for segment in path.split("/")[1:]:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    if plain in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


@lru_cache(maxsize=_KEPT_IN_MEMORY)
def normalise_url(url: str) -> str:
    """Return the form in which a URL names a document.

    That is: lower-case scheme, the host as `ml_shared.web.hosts` writes it, no default port, no `.` and `..` in its path,
    no fragment.

    Raises
    ------
    InvalidUrlError
        If it is not an absolute HTTP URL, carries user information, or is too long. Its code is `invalid_url`, or
        `blocked_scheme` for another scheme.
    """
    url = url.strip()
    if len(url) > URL_MAX_CHARACTERS:
        raise UrlTooLongError(f"the URL has {len(url)} characters; {URL_MAX_CHARACTERS} is the most")
    return url if _is_normal(url) else _made_normal(url)


def _is_normal(url: str) -> bool:
    """Say whether it is seen at a glance that a URL is in its normal form, as most are: some that are may be missed."""
    return "/." not in url and _NORMAL_ALREADY.fullmatch(url) is not None


def _made_normal(url: str) -> str:
    if _CONTROLS.search(url):
        raise InvalidUrlError("the URL contains a control character")
    parts, host, port = _split(url)
    scheme = parts.scheme.lower()
    name = ascii_host(host)
    if ":" in name:
        name = f"[{name}]"
    netloc = name if port in (None, _DEFAULT_PORTS[scheme]) else f"{name}:{port}"
    path = quote(_without_dots(parts.path), safe=_KEPT_IN_URL)
    normal = urlunsplit((scheme, netloc, path, quote(parts.query, safe=_KEPT_IN_URL), ""))
    if len(normal) > URL_MAX_CHARACTERS:
        raise UrlTooLongError(f"the URL, encoded, has {len(normal)} characters; {URL_MAX_CHARACTERS} is the most")
    return normal


def is_too_long(url: str) -> bool:
    """Say whether a URL names nothing here for its length alone."""
    if len(url) * _ENCODED_MAX_CHARACTERS <= URL_MAX_CHARACTERS:
        return False
    try:
        normalise_url(url)
    except UrlTooLongError:
        return True
    except InvalidUrlError:
        pass
    return False


def upload_url(name: str) -> str:
    """Return what a document is found under that was uploaded by a name: `upload:<name>`.

    Raises
    ------
    InvalidUrlError
        If it is empty, too long, or has a control character.
    """
    name, controls = name.strip(), _CONTROLS.search(name)
    if not name or controls:
        raise InvalidUrlError("a name has one character at least, and no control characters")
    normal = f"{UPLOAD}{quote(name, safe=_KEPT_IN_NAME)}"
    if len(normal) > URL_MAX_CHARACTERS:
        raise InvalidUrlError(f"the name, encoded, is longer than {URL_MAX_CHARACTERS} characters")
    return normal


def document_url(url: str) -> str:
    """Return the form in which a document is named: that of its URL, or of what it was uploaded by.

    Raises
    ------
    InvalidUrlError
        If it is neither.
    """
    if url[: len(UPLOAD)].lower() == UPLOAD:
        return upload_url(unquote(url[len(UPLOAD) :], errors="strict"))
    return normalise_url(url)


def normalise_prefix(prefix: str) -> str:
    """Return the beginning of a URL in the form in which normalised URLs begin with it.

    Its host is written as theirs, and what is no ASCII behind it as escapes. The rest stays as it is: it may end anywhere.
    A host with other characters than ASCII has to be whole, though, or to end behind a dot: `büch` is another name than
    the beginning of `bücher`.

    Raises
    ------
    InvalidUrlError
        If it has a host with other characters than ASCII, which is not a possible one.
    """
    begun = _BEGINNING.match(prefix)
    if begun is None:
        return quote(prefix, safe=_KEPT_IN_URL)
    scheme, host, rest = begun.groups()
    # an ASCII host may be cut off anywhere; also behind a dot, which is no root's then
    name = host.lower() if host.isascii() else ascii_host(host) + ("." if host.endswith(".") else "")
    return f"{scheme.lower()}://{name}{quote(rest, safe=_KEPT_IN_URL)}"


def host_of(url: str) -> str:
    """Return what politeness counts by: the URL's host, and its port where that is not the scheme's own."""
    if _is_normal(url):
        return url.split("/", 3)[2]
    return urlsplit(url).netloc.rpartition("@")[2].lower()
