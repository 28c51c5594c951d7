"""What a document is found under that was uploaded."""

import pytest

from ml_shared.contracts.uploads import DocumentForm, DocumentRequest
from ml_shared.web.urls import InvalidUrlError, document_url, normalise_url, upload_url


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("report.pdf", "upload:report.pdf"),
        (" a b.md ", "upload:a%20b.md"),
        ("Grüße.md", "upload:Gr%C3%BC%C3%9Fe.md"),
        ("a/b?c#d%.md", "upload:a%2Fb%3Fc%23d%25.md"),
    ],
)
def test_a_name_has_one_form_which_names_the_same_document_again(name: str, url: str) -> None:
    assert upload_url(name) == url
    assert document_url(url) == url
    assert document_url(url.replace("upload:", "Upload:")) == url


@pytest.mark.parametrize("name", ["", "  ", "a\n", "\0", "é" * 1_000])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidUrlError):
        upload_url(name)


def test_a_url_names_a_document_as_ever_and_nothing_fetches_an_upload() -> None:
    assert document_url("HTTP://site.test/a b#c") == normalise_url("http://site.test/a%20b")
    for other in ("ftp://site.test/", "upload", "file:///etc/passwd"):
        with pytest.raises(InvalidUrlError):
            document_url(other)
    with pytest.raises(InvalidUrlError, match="only http"):
        normalise_url("upload:report.pdf")


def test_a_document_is_named_by_its_url_before_its_name() -> None:
    assert DocumentForm(url="http://site.test/a", name="b.md").document == "http://site.test/a"
    assert DocumentRequest(name="b c.md", content="x").document == "upload:b%20c.md"
