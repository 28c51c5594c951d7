"""The bodies of the scraper's routes. Both sides of the fleet read them, so they are contracts of `ml_shared`."""

from ml_shared.contracts.queueing import EnqueueAnswer, PendingResult
from ml_shared.contracts.scraping import EnqueueScrape, ScrapeRequest, ScrapeResult

__all__ = ["EnqueueAnswer", "EnqueueScrape", "PendingResult", "ScrapeRequest", "ScrapeResult"]
