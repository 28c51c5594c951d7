"""What a registry is asked, over HTTP: `FakeRegistry` does the dance with the token, and can be wrong in several ways."""

import hashlib
import socket
from collections.abc import Iterator

import pytest
from chores import registry as registries
from chores.image_pins import pins_of
from chores.registry import Registry, RegistryError
from chores.requirements import main, pin_images
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

INDEX = "application/vnd.oci.image.index.v1+json"
BODY = b'{"schemaVersion": 2, "manifests": []}'
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
OTHER = f"sha256:{'1' * 64}"


class FakeRegistry:
    """One image, `redis:7-alpine`, for whoever brings the token; `asked` is what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers = {"Docker-Content-Digest": DIGEST, "Content-Type": INDEX}
        self.challenge = 'Bearer realm="{url}/token",service="fake"'
        self.token: object = {"token": "t0ken"}
        self.failures = 0
        self.status = 200
        self.body = BODY
        routes = [
            Route("/token", self._token),
            Route("/v2/{name:path}/manifests/{tag}", self._manifest, methods=["GET", "HEAD"]),
        ]
        self.server = ThreadedServer(Starlette(routes=routes))

    async def _token(self, request: Request) -> Response:
        self.asked.append(f"token {request.query_params['service']} {request.query_params['scope']}")
        return JSONResponse(self.token)

    async def _manifest(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.path_params['name']}:{request.path_params['tag']}")
        if self.failures:
            self.failures -= 1
            return Response(status_code=503)
        if request.headers.get("Authorization") != "Bearer t0ken":
            challenge = self.challenge.format(url=self.server.url)
            return Response(status_code=401, headers={"WWW-Authenticate": challenge})
        if request.path_params["name"] != "library/redis":
            return Response(status_code=404)
        assert INDEX in request.headers["Accept"]
        return Response(self.body, self.status, headers=self.headers)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    fake = FakeRegistry()
    with fake.server:
        yield fake


@pytest.fixture
def registry(fake: FakeRegistry) -> Iterator[Registry]:
    with Registry(fake.server.url, pause_seconds=0.01) as registry:
        yield registry


def test_a_tags_digest_is_asked_for_with_a_token_and_without_its_body(fake: FakeRegistry, registry: Registry) -> None:
    assert registry.digest("redis", "7-alpine") == DIGEST
    assert fake.asked == [
        "HEAD library/redis:7-alpine",
        "token fake repository:library/redis:pull",
        "HEAD library/redis:7-alpine",
    ]


def test_without_the_header_the_digest_is_the_bodys_hash(fake: FakeRegistry, registry: Registry) -> None:
    del fake.headers["Docker-Content-Digest"]
    assert registry.digest("redis", "7-alpine") == DIGEST
    assert fake.asked[-1] == "GET library/redis:7-alpine"


def test_an_image_with_a_name_of_its_own_is_no_librarys(fake: FakeRegistry, registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"grafana/alloy:v1: the registry answered 404"):
        registry.digest("grafana/alloy", "v1")
    assert fake.asked[-1] == "HEAD grafana/alloy:v1"


def test_a_registry_that_stumbles_is_asked_again(fake: FakeRegistry, registry: Registry) -> None:
    fake.failures = 2
    assert registry.digest("redis", "7-alpine") == DIGEST


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"headers": {"Docker-Content-Digest": "sha256:short", "Content-Type": INDEX}}, "no digest that holds"),
        ({"headers": {"Docker-Content-Digest": DIGEST, "Content-Type": "text/html"}}, "a text/html, not a manifest"),
        ({"headers": {"Content-Type": INDEX}, "body": b"x" * 2_000}, "longer than 1000 bytes"),
        ({"status": 429}, "answered 429"),
        ({"failures": 9}, "answered 503"),
        ({"token": {"token": None}}, "no token"),
        ({"token": ["t0ken"]}, "no token"),
        ({"challenge": 'Basic realm="fake"'}, "another login than a token"),
        ({"challenge": 'Bearer realm="https://elsewhere.invalid/token"'}, "another login than a token"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_answer_that_says_no_digest_is_told_and_not_believed(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, object], said: str
) -> None:
    monkeypatch.setattr(registries, "MAX_BODY_BYTES", 1_000)
    for name, value in wrong.items():
        setattr(fake, name, value)
    with pytest.raises(RegistryError, match=said):
        registry.digest("redis", "7-alpine")


def test_a_registry_that_is_down_is_told() -> None:
    with socket.socket() as silent:  # bound, so that nobody else is there, and not listening
        silent.bind(("127.0.0.1", 0))
        with Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", pause_seconds=0.01) as registry:
            with pytest.raises(RegistryError, match=r"127\.0\.0\.1 can't be reached"):
                registry.digest("redis", "7-alpine")


def test_images_whose_registry_is_down_fail_the_command_which_says_what_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def down() -> list[str]:
        raise RegistryError("the registry can't be reached")

    assert pin_images(down) == 1
    assert capsys.readouterr().err == "the registry can't be reached: no image was changed, the packages are pinned.\n"
    assert pin_images(lambda: ["redis:7-alpine  old → new"]) == 0
    assert pin_images(list) == 0
    assert capsys.readouterr().out.splitlines()[1::2] == ["  redis:7-alpine  old → new", "  none is new"]


def test_an_option_that_there_is_not_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images"]) == 2
    assert capsys.readouterr().err == "no such option: --images; there is --without-images\n"


def test_a_row_without_a_digest_says_so() -> None:
    rows = (
        "| image | version | digest |\n|---|---|---|\n| a/b | 1 | not pinned by digest yet |\n| c | 2 | "
        + OTHER
        + " |\n"
    )
    text = f"<!-- images: digests written by `make requirements` -->\n{rows}<!-- end of images -->\n"
    assert [(pin.name, pin.version, pin.digest) for pin in pins_of(text)] == [("a/b", "1", None), ("c", "2", OTHER)]
