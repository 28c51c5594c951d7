"""How hosts are written: the way browsers do."""

import pytest

from ml_shared.web.hosts import InvalidUrlError, ascii_host


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.COM.", "example.com"),
        ("foo_bar.example", "foo_bar.example"),
        ("_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("FAẞ.de", "xn--fa-hia.de"),
        ("fass.de", "fass.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("ΒΌΛΟΣ.com", "xn--nxasmq6b.com"),
        ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
        ("ශ්\u200dරී.com", "xn--10cl1a0b660p.com"),
        ("日本語。jp", "xn--wgv71a119e.jp"),
        ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("☕.example", "xn--53h.example"),
        ("i❤.example", "xn--i-7iq.example"),
        ("\U0001fae8.example", "xn--929h.example"),
        ("-ü.example", "xn----eha.example"),
        ("xn--fa-hia.bücher.example", "xn--fa-hia.xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_a_host_has_one_ascii_form_which_is_the_browsers(host: str, name: str) -> None:
    assert ascii_host(host) == name
    assert ascii_host(name) == name


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("ü" * 60 + ".example", "63 characters at the most"),
        ("ü." + "a" * 64, "63 characters at the most"),
        (".".join(["ü" + "a" * 50] * 5), "253 characters at the most"),
        ("a..ü", "no empty parts"),
        ("。", "no empty parts"),
        ("\u00ad", "no empty parts"),
        ("a\u2048ü.example", "stands for one with characters that no host name has"),
        ("a\uff0fb.example", "stands for one with characters that no host name has"),
        ("a\uff20b.example", "stands for one with characters that no host name has"),
        ("a\uff05b.example", "stands for one with characters that no host name has"),
        ("[::\uff11]", "stands for one with characters that no host name has"),
        ("a\ufffdb.example", "no host name has in that place"),
        ("a\ue000b.example", "no host name has in that place"),
        ("\u0301a.example", "no host name has in that place"),
        ("אa.example", "no host name has in that place"),
        ("a\u200cb.example", "nothing to join"),
        ("👩\u200d👩.example", "nothing to join"),
        ("xn--ü.example", "encoded already"),
        ("\U000e0fff\u200c\U000e0fff", "no host name has in that place"),
        ("\u200c" * 500 + "ü", "63 characters at the most"),
        ("ü" * 20_000, "no host name has in that place"),
    ],
)
def test_what_no_host_can_be_called_is_refused_and_says_why(host: str, why: str) -> None:
    with pytest.raises(InvalidUrlError) as refused:
        ascii_host(host)
    assert refused.value.code == "invalid_url"
    assert why in refused.value.detail
