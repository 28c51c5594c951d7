"""The bodies of the scraper's routes. Both sides of the fleet read them, so they are contracts of `ml_shared`."""

from ml_shared.contracts.links import LinkList, LinksRequest, MapRequest, SiteMap
from ml_shared.contracts.queueing import EnqueueAnswer, EnqueueAnswers, PendingResult
from ml_shared.contracts.scraping import EnqueueScrape, EnqueueScrapes, ScrapeRequest, ScrapeResult

__all__ = [
    "EnqueueAnswer",
    "EnqueueAnswers",
    "EnqueueScrape",
    "EnqueueScrapes",
    "LinkList",
    "LinksRequest",
    "MapRequest",
    "PendingResult",
    "ScrapeRequest",
    "ScrapeResult",
    "SiteMap",
]
