"""One normal form of a URL, and clear refusals."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_shared.web import urls
from ml_shared.web.urls import (
    URL_MAX_CHARACTERS,
    InvalidUrlError,
    host_of,
    is_too_long,
    normalise_prefix,
    normalise_url,
)

settings.load_profile("ci")  # no time limits: a slow machine is no fault


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:8080/a", "http://example.com:8080/a"),
        ("https://example.com./a", "https://example.com/a"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://example.ΟΔΟΣ/", "https://example.xn--pxavbq/"),
        ("https://οδος.example/", "https://xn--pxavbm.example/"),
        ("https://bücher.example.:8443/", "https://xn--bcher-kva.example:8443/"),
        ("https://example.com/a%20b", "https://example.com/a%20b"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("  https://example.com/a  ", "https://example.com/a"),
        ("https://example.com/public/../private", "https://example.com/private"),
        ("https://example.com/a/%2E%2e/./b//c/..", "https://example.com/b//"),
        ("https://example.com/../../a/.", "https://example.com/a/"),
        ("https://example.com/a..b/...?x=/../y", "https://example.com/a..b/...?x=/../y"),
        ("https://example.com/a?", "https://example.com/a"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com/a/%2e%2e", "https://example.com/"),
    ],
)
def test_equal_urls_have_one_form(given: str, normal: str) -> None:
    assert normalise_url(given) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("example.com/a", "invalid_url"),
        ("not a url", "invalid_url"),
        ("", "invalid_url"),
        ("ftp://example.com/", "blocked_scheme"),
        ("file:///etc/passwd", "blocked_scheme"),
        ("javascript:alert(1)", "blocked_scheme"),
        ("http://", "invalid_url"),
        ("http://user@example.com/", "invalid_url"),
        ("http://user:canary@example.com/", "invalid_url"),
        ("http://example.com:99999/", "invalid_url"),
        ("http://exa\nmple.com/", "invalid_url"),
        ("http://example.com/" + "a" * URL_MAX_CHARACTERS, "invalid_url"),
        ("http://[::1/", "invalid_url"),
        ("http://example.com:0/", "invalid_url"),
        ("http://./a", "invalid_url"),
        ("http://user:canary@ex\u2100ample.com/", "invalid_url"),
        ("http://user:canary@bücher.example/", "invalid_url"),
        ("http://bücher.example:99999/", "invalid_url"),
        ("http://" + "ü" * 60 + ".example/", "invalid_url"),
        ("http://ex\ufffdample.com/", "invalid_url"),
        ("http://\u3002/", "invalid_url"),
        ("http://[::\uff11]/", "invalid_url"),
    ],
)
def test_what_is_not_an_http_url_is_refused_and_not_repeated(url: str, code: str) -> None:
    with pytest.raises(InvalidUrlError) as refused:
        normalise_url(url)
    assert refused.value.code == code
    assert "canary" not in refused.value.detail


@given(st.from_regex(r"https?://[a-zA-Z0-9._-]{1,12}(:80)?/?[a-zA-Z0-9%./?&=;:@~\[\]#-]{0,24}", fullmatch=True))
def test_what_is_seen_to_be_normal_at_a_glance_is(url: str) -> None:
    if urls._is_normal(url):
        assert urls._made_normal(url) == url
        assert host_of(url) == urlsplit(url).netloc


def test_a_long_url_that_is_nearly_normal_takes_no_time() -> None:
    for part in ("a/", "a.", "a?", "-."):
        url = f"https://example.com/{part * 900}%"
        assert normalise_url(url) == url


def test_a_host_has_its_port_where_that_is_not_the_schemes_own() -> None:
    assert host_of(normalise_url("HTTP://Example.com:80/a")) == "example.com"
    assert host_of("http://example.com:8080/a") == "example.com:8080"


@pytest.mark.parametrize(
    ("prefix", "normal"),
    [
        ("https://faß.example/über/", "https://xn--fa-hia.example/%C3%BCber/"),
        ("HTTPS://Exam", "https://exam"),
        ("https://bücher.", "https://xn--bcher-kva."),
        ("https://www.", "https://www."),
        ("http://bücher.example:8080/", "http://xn--bcher-kva.example:8080/"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("https://example.com/a?b=c d", "https://example.com/a?b=c%20d"),
        ("https:", "https:"),
        ("h", "h"),
        ("", ""),
    ],
)
def test_a_beginning_is_written_as_normal_urls_begin(prefix: str, normal: str) -> None:
    assert normalise_prefix(prefix) == normal
    assert normalise_prefix(normal) == normal


def test_every_beginning_of_a_normal_url_is_its_own_form() -> None:
    normal = normalise_url("https://bücher.example:8443/a/ü%2f?b=ß")
    for length in range(len(normal)):
        assert normalise_prefix(normal[:length]) == normal[:length]


def test_a_beginning_with_an_impossible_host_is_refused() -> None:
    with pytest.raises(InvalidUrlError):
        normalise_prefix("https://" + "ü" * 60 + "/")


@pytest.mark.parametrize(
    ("url", "too_long"),
    [
        ("http://example.com/" + "a" * URL_MAX_CHARACTERS, True),
        ("http://example.com/" + "é" * 400, True),
        ("http://example.com/" + "\U0001f600" * 170, True),
        ("http://example.com/" + "a" * (URL_MAX_CHARACTERS - 19), False),
        ("http://example.com/" + "a" * 1_000 + "#" + "b" * 900, False),
        ("http://[::1/" + "a" * 1_000, False),
        ("nothing", False),
    ],
)
def test_a_url_is_told_to_be_too_long_if_that_is_why_it_names_nothing(url: str, too_long: bool) -> None:
    assert is_too_long(url) is too_long
