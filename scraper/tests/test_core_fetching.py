"""One request: limits on time and size, kinds of content, trust."""

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import trustme
from sites import Site

from app.core.errors import FetchTimeoutError, PageTooLargeError, UnsupportedContentTypeError
from ml_shared.errors import UpstreamError
from ml_shared.web.errors import TlsError

PAGES = frozenset({"text/html", "text/plain"})
SECONDS = 30.0
# that a page has; one of which more is read than should be has no end within them
BEYOND_ITS_TIME_SECONDS = 40.0


def fetcher(*ports: int, context: ssl.SSLContext | None = None, addresses: tuple[str, ...] = ()) -> Any:
    import ipaddress

    from app.core.fetching.requests import Fetcher
    from ml_shared.web.addresses import AddressGuard, SystemResolver

    class Fixed:
        async def resolve(self, host: str, port: int) -> tuple[str, ...]:
            return addresses

    guard = AddressGuard(
        Fixed() if addresses else SystemResolver(),
        private_networks=[ipaddress.ip_network("127.0.0.0/8")],
        ports=ports,
    )
    return Fetcher(
        guard,
        user_agent="TestBot/1.0 (+http://about.example)",
        connect_timeout_seconds=30,
        ssl_context=context or httpx.create_ssl_context(),
    )


async def get(
    url: str, port: int, *, seconds: float = SECONDS, max_bytes: int = 100_000, cut: bool = False, **options: Any
) -> Any:
    from app.core.fetching.requests import BodyRule, Budget

    return await fetcher(port, **options).get(url, Budget(seconds), BodyRule(max_bytes, PAGES, cut))


async def test_a_request_says_who_asks_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    site.page("/page?a=1", "hello", headers={"set-cookie": "session=1"})
    for _ in range(2):
        answer = await get(site.url("/page?a=1"), site.port)
    assert (answer.status, answer.body, answer.media_type, answer.charset) == (200, b"hello", "text/html", "utf-8")
    assert set(site.hits[1].headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert site.hits[1].headers["user-agent"] == "TestBot/1.0 (+http://about.example)"


async def test_a_page_over_the_limit_is_refused_by_its_header_alone(site: Site) -> None:
    site.page("/page", "x" * 10, headers={"content-length": "50000000"})
    with pytest.raises(PageTooLargeError) as caught:
        await get(site.url("/page"), site.port)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("too_large", 413, False)


async def test_a_page_that_grows_over_the_limit_is_stopped_there(site: Site) -> None:
    site.stream("/page", [b"x" * 60_000] * 200, pause=0.5)  # longer than there is time for, read to its end
    with pytest.raises(PageTooLargeError):
        await get(site.url("/page"), site.port)


async def test_exactly_the_limit_is_read_and_one_byte_more_is_not(site: Site) -> None:
    site.page("/page", "x" * 100_000)
    assert len((await get(site.url("/page"), site.port)).body) == 100_000
    site.page("/page", "x" * 100_001)
    with pytest.raises(PageTooLargeError):
        await get(site.url("/page"), site.port)


async def test_a_gzip_bomb_is_stopped_at_the_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.fetching import requests

    decoded = 0

    class Counted(requests.Decoder):
        def feed(self, data: bytes) -> Iterator[bytes]:
            nonlocal decoded
            for part in super().feed(data):
                decoded += len(part)
                yield part

    monkeypatch.setattr(requests, "Decoder", Counted)
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=1)
    site.page("/page", bomb, headers={"content-encoding": "gzip"})
    with pytest.raises(PageTooLargeError):
        await get(site.url("/page"), site.port, max_bytes=1_000_000)
    assert 1_000_000 < decoded < 1_200_000


async def test_a_long_body_can_be_cut_instead(site: Site) -> None:
    site.page("/page", "x" * 150_000)
    assert len((await get(site.url("/page"), site.port, cut=True)).body) == 100_000


@pytest.mark.parametrize("content_type", ["application/pdf", "image/png", "application/json", "text/css"])
async def test_another_kind_of_content_is_refused_without_reading_it(site: Site, content_type: str) -> None:
    site.stream("/page", [b"%PDF"] * 2, pause=BEYOND_ITS_TIME_SECONDS, content_type=content_type)
    with pytest.raises(UnsupportedContentTypeError) as caught:
        await get(site.url("/page"), site.port)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("unsupported_content_type", 415, False)


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", None])
async def test_a_body_that_begins_like_something_else_is_read_no_further(site: Site, content_type: str | None) -> None:
    parts = [b"%PDF-1.7\n" + bytes(2_000)] * 2
    site.stream("/page", parts, pause=BEYOND_ITS_TIME_SECONDS, content_type=content_type)
    with pytest.raises(UnsupportedContentTypeError, match="a PDF document, told by its bytes"):
        await get(site.url("/page"), site.port)
    with pytest.raises(UnsupportedContentTypeError, match="a PDF document"):
        await get(site.page("/short", b"%PDF-1.7\n", content_type=content_type), site.port)


async def test_a_body_without_a_type_is_read(site: Site) -> None:
    assert (await get(site.page("/page", "<p>words</p>", content_type=None), site.port)).body == b"<p>words</p>"


async def test_a_server_that_drips_meets_the_total_timeout(site: Site) -> None:
    site.stream("/page", [b"."] * 1_000, pause=0.05)
    began = time.monotonic()
    with pytest.raises(FetchTimeoutError) as caught:
        await get(site.url("/page"), site.port, seconds=0.5)
    assert (caught.value.code, caught.value.retryable) == ("fetch_timeout", True)
    assert time.monotonic() - began < 20


async def test_a_budget_is_shared_by_what_is_fetched_from_it(site: Site) -> None:
    from app.core.fetching.requests import BodyRule, Budget

    site.stream("/page", [b".", b"."], pause=0.2)
    budget, rule, one = Budget(60), BodyRule(1_000, PAGES), fetcher(site.port)
    for spent in (0.4, 0.8):
        await one.get(site.url("/page"), budget, rule)
        assert budget._left < 60 - spent
    budget._left = 0.2
    with pytest.raises(FetchTimeoutError):
        await one.get(site.url("/page"), budget, rule)


@asynccontextmanager
async def raw_server(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    handlers: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(OSError):
            await reader.read(65_536)
            writer.write(answer)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*filter(None, handlers))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + b"X-Long: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "garbage", "cut off", "endless header"],
)
async def test_a_broken_answer_may_be_tried_again(answer: bytes) -> None:
    async with raw_server(answer) as port:
        with pytest.raises(UpstreamError) as caught:
            await get(f"http://127.0.0.1:{port}/", port)
    assert (caught.value.code, caught.value.retryable) == ("upstream_error", True)


async def test_a_port_that_nobody_listens_on_may_be_tried_again() -> None:
    with socket.socket() as taken:  # so that nobody else comes to listen on it
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UpstreamError) as caught:
            await get(f"http://127.0.0.1:{port}/", port)
    assert caught.value.retryable


async def test_the_next_address_is_tried_when_one_does_not_answer(site: Site) -> None:
    site.html("/page")
    answer = await get(f"http://h.example:{site.port}/page", site.port, addresses=("127.0.0.99", "127.0.0.1"))
    assert answer.status == 200


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"


async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for name, fine in (("docs.example", True), ("other.example", False), ("127.0.0.1", False)):
        async with raw_server(PAGE, server_context(authority, name)) as port:
            url = f"https://docs.example:{port}/"
            if fine:
                assert (await get(url, port, context=trusting, addresses=("127.0.0.1",))).body == b"ok"
                continue
            with pytest.raises(TlsError) as caught:
                await get(url, port, context=trusting, addresses=("127.0.0.1",))
            assert (caught.value.code, caught.value.retryable) == ("tls_failed", False)


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    async with raw_server(PAGE, server_context(authority, "docs.example")) as port:
        with pytest.raises(TlsError) as caught:
            await get(f"https://docs.example:{port}/", port, addresses=("127.0.0.1",))
    assert not caught.value.retryable


async def test_a_server_that_does_not_speak_tls_is_an_error_of_tls() -> None:
    async with raw_server(PAGE) as port:
        with pytest.raises(UpstreamError) as caught:
            await get(f"https://127.0.0.1:{port}/", port)
    assert caught.value.code in ("tls_failed", "upstream_error")


def test_a_retry_after_is_read_in_both_forms() -> None:
    from app.core.fetching.requests import Answer

    assert Answer("u", 429, {"retry-after": "120"}).retry_after_seconds == 120
    assert Answer("u", 429, {"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}).retry_after_seconds == 0
    assert Answer("u", 429, {"retry-after": "soon"}).retry_after_seconds is None
    assert Answer("u", 429, {"retry-after": f"Mon, {'9' * 20} Jan 2024 00:00:00 GMT"}).retry_after_seconds is None
    assert Answer("u", 429, {}).retry_after_seconds is None
