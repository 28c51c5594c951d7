"""The console's files as nginx serves them: what browsers hold them to, and that nothing else of the folder is there."""

import re
from pathlib import Path

import pytest
from conftest import GATEWAY_FOLDER, UNLIMITED, Gateway, StartGateway

CONSOLE = GATEWAY_FOLDER / "console"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = sorted(path for path in CONSOLE.rglob("*") if path.suffix in TYPES)


def address(path: Path) -> str:
    return f"/console/{path.relative_to(CONSOLE).as_posix()}"


def test_the_page_lies_at_the_root(gateway: Gateway) -> None:
    answer = gateway.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text == (CONSOLE / "index.html").read_text()


def test_every_file_has_its_type(gateway: Gateway) -> None:
    assert len(FILES) > 20
    for path in FILES:
        answer = gateway.get(address(path))
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].partition(";")[0] == TYPES[path.suffix], path
        assert answer.content == path.read_bytes()


def test_a_browser_takes_scripts_styles_and_data_from_this_host_only(gateway: Gateway) -> None:
    headers = gateway.get("/").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    # what else stands there is tighter than that
    weaker = {
        name: value for name, value in policy.items() if name.endswith("-src") and value not in ("'self'", "'none'")
    }
    assert not weaker
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["content-security-policy"]


def test_the_page_has_no_script_or_style_within_it_and_names_no_other_host() -> None:
    page = (CONSOLE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)
    for path in [CONSOLE / "index.html", *FILES]:
        hosts = set(re.findall(r"https?://([\w.-]+)", path.read_text())) - {"www.w3.org", "example.com"}
        assert not hosts, f"{path}: {hosts}"


def test_no_text_is_ever_read_as_markup() -> None:
    for path in FILES:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|DOMParser|Function\(", path.read_text()
        ), path


@pytest.mark.parametrize("path", ["/", "/console/scripts/main.js", "/console/icon.svg"])
def test_every_answer_has_the_usual_headers(gateway: Gateway, path: str) -> None:
    headers = gateway.get(path, headers={"X-Request-Id": "console-file-1"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-request-id"] == "console-file-1"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/console/styles/base.css"])
def test_a_file_is_asked_after_and_not_sent_again(gateway: Gateway, path: str) -> None:
    first = gateway.get(path)
    assert first.headers["cache-control"] == "no-cache"
    for name, value in (
        ("If-None-Match", first.headers["etag"]),
        ("If-Modified-Since", first.headers["last-modified"]),
    ):
        again = gateway.get(path, headers={name: value})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/console",
            "/console/",
            "/console/README.md",
            "/console/index.html",
            "/index.html",
            "/console/pictures/overview.png",
        ),
        *(
            "/console/../nginx/nginx.conf.template",
            "/console/%2e%2e/.env.example",
            "/console/nothing.js",
            "/console/scripts/",
        ),
        *("/console//scripts/main.js%00.css", "/scripts/main.js", "/README.md"),
    ],
)
def test_nothing_else_of_the_folder_is_served(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path)
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/console/scripts/main.js"])
def test_a_file_can_only_be_read(gateway: Gateway, path: str) -> None:
    answer = gateway.post(path, content=b"x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["code"] == "method_not_allowed"


def test_a_page_load_is_not_refused_for_its_many_files(start_gateway: StartGateway) -> None:
    """With the deployment's own rates; the API's are counted apart."""
    with start_gateway() as gateway:
        assert {gateway.get(address(path)).status_code for path in FILES * 3} == {200}


def test_a_checkout_may_lie_anywhere(start_gateway: StartGateway, tmp_path: Path) -> None:
    folder = tmp_path / 'a "folder" with $1 {in} it; and a space'
    folder.symlink_to(GATEWAY_FOLDER, target_is_directory=True)
    with start_gateway(folder=folder, **UNLIMITED) as gateway:
        assert gateway.get("/").status_code == 200


def test_every_module_that_is_imported_is_there() -> None:
    for path in FILES:
        for target in re.findall(r"""(?:from|import|import\()\s*["'](\.[^"'`$]+)["']""", path.read_text()):
            assert (path.parent / target).is_file(), f"{path.relative_to(CONSOLE)} imports {target}"
