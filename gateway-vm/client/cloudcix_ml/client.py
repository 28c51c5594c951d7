"""The two clients: `Client` blocks, `AsyncClient` is awaited; both have the same methods."""

import os
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from cloudcix_ml.core.session import PATIENCE_SECONDS, Key, Session, checked_url
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.faces import Awaiting, Blocking, Face, Method, Mode
from cloudcix_ml.groups import Batches, Corpora, Crawls, Documents, Jobs, Runs, Webhooks
from cloudcix_ml.operations import crawls, indexing, jobs, search, services, sites, uploads

if TYPE_CHECKING:
    import ssl

    import httpx

URL_VARIABLE: Final = "CLOUDCIX_ML_URL"
KEY_VARIABLE: Final = "CLOUDCIX_ML_KEY"
MOST_CONNECTIONS: Final = 20


@cache
def _certificates() -> "ssl.SSLContext":
    """Return what gateways' certificates are checked with: reading it takes longer than all else that makes a client."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)


def _options() -> dict[str, Any]:
    import httpx

    limits = httpx.Limits(max_connections=MOST_CONNECTIONS)
    return {"trust_env": False, "verify": _certificates(), "limits": limits}


class _Platform(Face[Mode]):
    """What both clients can do."""

    def __init__(self, session: Session, transport: Any) -> None:
        super().__init__(session, transport)
        self.jobs: Jobs[Mode] = Jobs(session, transport)
        self.batches: Batches[Mode] = Batches(session, transport)
        self.crawls: Crawls[Mode] = Crawls(session, transport)
        self.runs: Runs[Mode] = Runs(session, transport)
        self.corpora: Corpora[Mode] = Corpora(session, transport)
        self.documents: Documents[Mode] = Documents(session, transport)
        self.webhooks: Webhooks[Mode] = Webhooks(session, transport)

    index = Method(indexing.index)
    crawl = Method(crawls.crawl)
    map = Method(sites.map_site)
    upload = Method(uploads.upload)
    search = Method(search.search)
    wait = Method(jobs.wait)
    health = Method(services.health)
    clock_skew = Method(services.clock_skew)

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self._session.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


def _session(url: str | None, key: str | None, patience_seconds: float) -> Session:
    url = url or os.environ.get(URL_VARIABLE)
    key = key or os.environ.get(KEY_VARIABLE)
    if not url:
        raise ConfigurationError(f"which gateway? Give its address, or set {URL_VARIABLE}")
    return Session(checked_url(url), Key(key) if key else None, patience_seconds)


class Client(_Platform[Blocking]):
    """A client that blocks until there is a result.

    Parameters
    ----------
    url
        The gateway's address; `CLOUDCIX_ML_URL` unless given.
    key
        Your API key; `CLOUDCIX_ML_KEY` unless given.
    patience_seconds
        How long one call may go on being tried again; its first attempt has its request's own time.
    http
        An httpx client of your own, which you close; for proxies, certificates and the like.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        http: "httpx.Client | None" = None,
    ) -> None:
        session = _session(url, key, patience_seconds)
        # here, and not above: a program that only wants the models does not wait for httpx
        import httpx

        from cloudcix_ml.transports.blocking import BlockingTransport
        from cloudcix_ml.transports.reading import check_address

        check_address(session.url)
        self._own = http is None
        # no proxy and no netrc of the machine: the key goes to the gateway and nowhere else
        self._http = http or httpx.Client(**_options())
        super().__init__(session, BlockingTransport(session, self._http))

    def close(self) -> None:
        """Close its connections."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Platform[Awaiting]):
    """A client whose results are awaited; its parameters are those of `Client`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        http: "httpx.AsyncClient | None" = None,
    ) -> None:
        session = _session(url, key, patience_seconds)
        import httpx

        from cloudcix_ml.transports.awaiting import AwaitingTransport
        from cloudcix_ml.transports.reading import check_address

        check_address(session.url)
        self._own = http is None
        self._http = http or httpx.AsyncClient(**_options())
        super().__init__(session, AwaitingTransport(session, self._http))

    async def aclose(self) -> None:
        """Close its connections."""
        if self._own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
