"""Scrapy's side: run by the environment that has Scrapy, which has nothing of ours.

    .cache/scrapy/bin/python bench/crawl/spider.py '{"origins": […], "host_delay": 1.0, "concurrency": 4, "extract": true}'

It follows the links of each site from its root, one request a host at a time, obeys robots.txt, and prints one line of JSON.
"""

import json
import resource
import sys
import time
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess


class SiteSpider(scrapy.Spider):  # type: ignore[misc]  # it has no types
    """Reads whole sites; what it finds is counted, and with `extract` its text is taken as well."""

    name = "sites"

    def __init__(self, origins: list[str], extract: bool, told: dict[str, Any], **more: Any) -> None:
        super().__init__(**more)
        self._origins = origins
        self._extract = extract
        self._told = told

    async def start(self) -> Any:
        """Begin at each site's root."""
        for origin in self._origins:
            yield self._request(f"{origin}/", origin)

    def _request(self, url: str, origin: str) -> Any:
        # loopback's hosts differ in their port alone, and Scrapy's pace goes by the name
        return scrapy.Request(url, callback=self.parse, meta={"download_slot": origin})

    def parse(self, response: Any) -> Any:
        """Take a page's text, and follow its links."""
        self._told["pages"] += 1
        if self._extract:
            import trafilatura

            text = trafilatura.extract(response.text, url=response.url, output_format="markdown")
            self._told["characters"] += len(text or "")
        origin = _origin_of(response.url)
        for href in response.css("a::attr(href)").getall():
            url = response.urljoin(href)
            if url.startswith(f"{origin}/"):
                yield self._request(url, origin)


def main(asked: dict[str, Any]) -> None:
    """Crawl, and print what it took."""
    told = {"pages": 0, "characters": 0}
    process = CrawlerProcess(
        {
            "ROBOTSTXT_OBEY": True,
            "DOWNLOAD_DELAY": asked["host_delay"],
            "RANDOMIZE_DOWNLOAD_DELAY": False,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
            "CONCURRENT_REQUESTS": asked["concurrency"],
            "USER_AGENT": "bench",
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": False,
            # as its documentation has it for many hosts; else those of one host keep all others waiting
            "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.DownloaderAwarePriorityQueue",
            "DOWNLOADER_MIDDLEWARES": {SlotOfTheOrigin: 50},
        }
    )
    process.crawl(SiteSpider, origins=asked["origins"], extract=asked["extract"], told=told)
    began = time.monotonic()
    process.start()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**told, "seconds": time.monotonic() - began, "cpu_seconds": used.ru_utime + used.ru_stime}))


class SlotOfTheOrigin:
    """Keeps a pace for each origin, also for what Scrapy asks for itself, such as a robots.txt."""

    def process_request(self, request: Any) -> None:
        """Name the slot that a request waits in."""
        request.meta.setdefault("download_slot", _origin_of(request.url))


def _origin_of(url: str) -> str:
    return "/".join(url.split("/")[:3])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
