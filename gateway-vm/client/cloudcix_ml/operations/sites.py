"""What a site has, without fetching all of it."""

from cloudcix_ml.core.effects import SYNC_TIMEOUT_SECONDS, Operation
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.sites import MapRequest, SiteMap
from cloudcix_ml.operations.requests import SCRAPER, post


def map_site(session: Session, url: str, *, limit: int | None = None, search: str | None = None) -> Operation[SiteMap]:
    """List a site's pages, as its sitemaps, feeds and the page itself tell of them; nothing is indexed.

    Parameters
    ----------
    url
        A page of the site, or a sitemap.
    limit
        How many links at most.
    search
        Words: links whose URLs have more of them come first.
    """
    body = MapRequest.of({"url": url, "limit": limit, "search": search})
    request = post(f"{SCRAPER}/map", body, timeout_seconds=SYNC_TIMEOUT_SECONDS)
    return (yield from call(session, request, SiteMap))
