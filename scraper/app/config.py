"""The scraper's settings."""

from pydantic import Field

from ml_shared.settings import ServiceSettings
from ml_shared.web.openings import Nat64Prefixes, Networks, Ports


class Settings(ServiceSettings):
    """What the scraper needs beside what every service needs."""

    ALLOWED_PRIVATE_NETWORKS: Networks = Field(
        default=(), description="networks that are not public and may be fetched from all the same: CIDRs, by comma"
    )
    ALLOWED_PORTS: Ports = Field(default=(), description="ports to fetch from beside 80 and 443, by comma")
    BLOCKED_NETWORKS: Networks = Field(
        default=(), description="public networks never to fetch from, such as the fleet's own: CIDRs, by comma"
    )
    NAT64_PREFIXES: Nat64Prefixes = Field(
        default=(),
        description="where this network's NAT64 has the IPv4 internet, such as 64:ff9b::/96: CIDRs, by comma",
    )
    USER_AGENT: str = Field(
        default="CloudCIXBot/1.0 (+https://www.cloudcix.com)",
        pattern=r"^[A-Za-z][A-Za-z_-]*(/[ -~]*)?$",
        description="how the scraper names itself; robots.txt goes by what stands before the first slash",
    )
    MAX_PAGE_BYTES: int = Field(default=10 * 2**20, gt=0, description="longest page, decoded")
    FETCH_TIMEOUT_SECONDS: float = Field(
        default=20, gt=0, description="longest time on the network for one page, its robots.txt and redirects included"
    )
    CONNECT_TIMEOUT_SECONDS: float = Field(default=5, gt=0, description="longest time to connect to one address")
    MAX_REDIRECTS: int = Field(default=5, ge=0, description="most redirects that are followed")
    HOST_DELAY_SECONDS: float = Field(default=1.0, ge=0, description="least time between two requests to one host")
    MAX_CRAWL_DELAY_SECONDS: float = Field(
        default=30, gt=0, description="longest delay that a site's robots.txt can ask for"
    )
    ROBOTS_TTL_SECONDS: int = Field(default=3600, gt=0, description="how long a robots.txt is believed")
    OBEY_NOINDEX: bool = Field(
        default=True,
        description="whether a page is refused that asks robots not to index it (meta element or X-Robots-Tag)",
    )
    EXTRACT_TIMEOUT_SECONDS: float = Field(
        default=15, gt=0, description="longest time to turn one page into text before that process is killed"
    )

    RENDERER_URL: str = Field(
        default="",
        pattern=r"^(unix:///.+)?$",
        description="where the renderer listens, `unix:///run/renderer/renderer.sock`; without it no page is rendered",
    )
    RENDER_TIMEOUT_SECONDS: float = Field(default=30, gt=0, description="longest time to render one page")
    RENDER_MAX_REQUESTS: int = Field(default=60, ge=0, description="most requests that a page's scripts get answered")
    RENDER_MAX_BYTES: int = Field(default=20 * 2**20, gt=0, description="longest answers to these, decoded, together")


settings = Settings()
