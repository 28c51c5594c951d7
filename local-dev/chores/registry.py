"""Asks a registry of images which digest a tag has now, over the distribution API: a manifest's headers, after a token."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import httpx

DOCKER_HUB: Final = "https://registry-1.docker.io"
ACCEPTED: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""The list of all architectures first: its digest is the tag's own. An image for one alone has a manifest only."""
TIMEOUT_SECONDS: Final = 10.0
TRIES: Final = 3
PAUSE_SECONDS: Final = 2.0
MAX_BODY_BYTES: Final = 4 * 2**20
# registries refuse longer manifests
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(RuntimeError):
    """The registry could not be asked, or gave no answer that says what was asked."""


class Registry:
    """One registry, asked without an account.

    Parameters
    ----------
    url
        Its address.
    pause_seconds
        The wait before the second try; it doubles.
    """

    def __init__(
        self, url: str = DOCKER_HUB, *, pause_seconds: float = PAUSE_SECONDS, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds)
        self._pause_seconds = pause_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def digest(self, name: str, version: str) -> str:
        """Return what a tag points to, as `sha256:…`.

        Raises
        ------
        RegistryError
            If it was not reached, knows no such image, or answered something else.
        """
        repository = name if "/" in name else f"library/{name}"
        path, what = f"/v2/{repository}/manifests/{version}", f"{name}:{version}"
        headers = {"Accept": ", ".join(ACCEPTED)}
        answer, body = self._ask("HEAD", path, headers)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            headers["Authorization"] = f"Bearer {self._token(answer, repository)}"
            answer, body = self._ask("HEAD", path, headers)
        if answer.is_success and "Docker-Content-Digest" not in answer.headers:
            # the header is optional, and a digest is the hash of what it names
            answer, body = self._ask("GET", path, headers)
        if not answer.is_success:
            raise RegistryError(f"{what}: the registry answered {answer.status_code}")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind not in ACCEPTED:
            raise RegistryError(f"{what}: the registry answered a {kind or 'body without a type'}, not a manifest")
        said: str = answer.headers.get("Docker-Content-Digest", "")
        hashed = f"sha256:{hashlib.sha256(body).hexdigest()}" if body else said
        if not DIGEST.fullmatch(hashed) or (said and said != hashed):
            raise RegistryError(f"{what}: the registry answered no digest that holds: {said[:80]!r}")
        return hashed

    def _token(self, challenge: httpx.Response, repository: str) -> str:
        scheme, _, rest = challenge.headers.get("WWW-Authenticate", "").partition(" ")
        wanted = dict(CHALLENGE.findall(rest))
        realm = wanted.get("realm", "")
        # a registry that is asked in secret must not send us elsewhere in the open
        if scheme.lower() != "bearer" or httpx.URL(realm).scheme != challenge.request.url.scheme:
            raise RegistryError(f"{repository}: the registry wants another login than a token")
        query = {"service": wanted.get("service", ""), "scope": f"repository:{repository}:pull"}
        answer, body = self._ask("GET", realm, {}, query)
        try:
            said = json.loads(body) if answer.is_success else None
        except ValueError:
            said = None
        token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
        if not isinstance(token, str):
            raise RegistryError(f"{repository}: {realm} answered {answer.status_code} and no token")
        return token

    def _ask(
        self, method: str, url: str, headers: dict[str, str], query: dict[str, str] | None = None
    ) -> tuple[httpx.Response, bytes]:
        for rest in reversed(range(TRIES)):
            try:
                answer, body = self._once(method, url, headers, query)
            except httpx.TransportError as error:
                if not rest:
                    raise RegistryError(f"{self._http.base_url.host} can't be reached: {error}") from error
            else:
                again = answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error
                if not rest or not again:
                    return answer, body
            time.sleep(self._pause_seconds * 2 ** (TRIES - 1 - rest))
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, url: str, headers: dict[str, str], query: dict[str, str] | None
    ) -> tuple[httpx.Response, bytes]:
        with self._http.stream(method, url, headers=headers, params=query) as answer:
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise RegistryError(f"{url}: the answer is longer than {MAX_BODY_BYTES} bytes")
            return answer, body


Ask = Callable[[str, str], str]
"""From an image's name and version to its digest."""
