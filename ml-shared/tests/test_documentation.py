"""`/docs`: Swagger UI from this machine, under whatever path the gateway puts before it."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

from ml_shared.http.routing import serve


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(title='A "service" <b>', redirect_slashes=False)
    serve(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as client:
        yield client


def addresses(page: httpx.Response) -> list[str]:
    found = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    return [address for address in found if not address.startswith("data:")]


async def test_everything_that_the_page_loads_is_served_beside_it(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "A &quot;service&quot; &lt;b&gt;" in page.text
    for address in addresses(page):
        answer = await client.get(urljoin("/docs", address))
        assert answer.status_code == 200, address
        assert answer.content, address


async def test_the_page_names_no_host_and_no_path_before_its_own(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs", headers={"X-Forwarded-Prefix": "/api/scraper"})
    for address in addresses(page):
        assert urljoin("https://gateway.test/api/scraper/docs", address).startswith("https://gateway.test/api/scraper/")
    script = await client.get("/docs/start.js")
    assert "//" not in re.sub(r"^\s*//.*|\s//.*$", "", script.text, flags=re.MULTILINE)


async def test_scripts_come_from_files_of_this_host_only(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert not re.search(r"<script>|<style|\son\w+=|style=", page.text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "script-src" not in policy
    assert (await client.get("/docs/start.js")).headers["content-security-policy"] == policy


async def test_a_file_is_not_sent_again_to_who_has_it(client: httpx.AsyncClient) -> None:
    first = await client.get("/docs/swagger-ui-bundle.js")
    again = await client.get("/docs/swagger-ui-bundle.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/redoc", "/docs/", "/docs/oauth2-redirect", "/docs/redoc.standalone.js", "/docs/..%2f__init__.py"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_it_is_no_part_of_the_document(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi.json")).json()["paths"] == {}
