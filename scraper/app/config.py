"""The scraper's settings."""

import ipaddress
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from ml_shared.settings import ServiceSettings
from ml_shared.web.addresses import NAT64_PREFIX_LENGTHS

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(ServiceSettings):
    """What the scraper needs beside what every service needs."""

    ALLOWED_PRIVATE_NETWORKS: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        default=(), description="networks that are not public and may be fetched from all the same: CIDRs, by comma"
    )
    ALLOWED_PORTS: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(), description="ports to fetch from beside 80 and 443, by comma"
    )
    BLOCKED_NETWORKS: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        default=(), description="public networks never to fetch from, such as the fleet's own: CIDRs, by comma"
    )
    NAT64_PREFIXES: Annotated[tuple[ipaddress.IPv6Network, ...], NoDecode] = Field(
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

    @field_validator("ALLOWED_PRIVATE_NETWORKS", "BLOCKED_NETWORKS", "NAT64_PREFIXES", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("NAT64_PREFIXES")
    @classmethod
    def _prefixes(cls, value: tuple[ipaddress.IPv6Network, ...]) -> tuple[ipaddress.IPv6Network, ...]:
        if any(prefix.prefixlen not in NAT64_PREFIX_LENGTHS for prefix in value):
            raise ValueError(f"a NAT64's prefix has one of these lengths: {', '.join(map(str, NAT64_PREFIX_LENGTHS))}")
        return value

    @field_validator("ALLOWED_PORTS", mode="before")
    @classmethod
    def _ports(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        ports = tuple(int(part) for part in value.split(",") if part.strip())
        if any(not 0 < port < 65_536 for port in ports):
            raise ValueError("a port is a number from 1 to 65535")
        return ports


settings = Settings()
