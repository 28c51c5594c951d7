"""How text is taken apart: names as technical people type them, languages, scripts without blanks."""

import pytest

from app.core.languages import language_of
from app.core.terms import (
    FREQUENCIES,
    OUT_OF_LINE,
    VERSION,
    DocumentTerms,
    PassageTerms,
    corpus_key,
    passage_terms,
    stem_term,
    surface_term,
    terms_digest,
)
from app.core.words import names, stems

HASH = b"\x01" * 32


def words(text: str) -> set[str]:
    """Return every form that a text is found by before its words are stemmed."""
    return {word for name in names(text) for word in (*name.wholes, *name.parts)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("await asyncio.gather(*tasks)", {"asyncio", "gather", "asynciogather"}),
        ("os.path.join", {"os", "path", "join", "ospathjoin"}),
        ("in /etc/nginx/nginx.conf:", {"etc", "nginx", "conf", "nginxconf", "etcnginxnginxconf"}),
        ("since v1.26.3", {"1.26.3", "1.26"}),
        ("1.26.3", {"1.26.3", "1.26"}),
        ("self.assertEqual", {"assert", "equal", "assertequal"}),
        ("HTMLParser", {"html", "parser", "htmlparser"}),
        ("a snake_case name", {"snake", "case", "snakecase"}),
        ("dataSource", {"datasource", "data", "source"}),
        ("with --long-option", {"long", "option", "longoption"}),
        ("HTTP_404", {"http", "404", "http404"}),
        ("error[E0040]: no", {"e0040", "0040", "error"}),
        ("utf8", {"utf8", "utf"}),
        ("C++, C# and F#", {"c++", "c#", "f#"}),
        ("std::vec::Vec", {"std", "vec", "stdvecvec"}),
        ("l'été qu’il", {"été", "il"}),
        ("file's don't", {"file", "don"}),
        ("127.0.1.1", {"127.0.1.1"}),
        ("ﬁle Ｆｕｌｌ", {"file", "full"}),
        ("光盘 和", {"光盘", "和"}),
        ("保存多少年", {"保存", "存多", "多少", "少年"}),
        ("ภาษาไทย", {"ภา", "าษ", "ษา"}),
        ("हिन्दी", {"हिन्दी"}),
    ],
)
def test_a_name_is_found_whole_and_by_its_parts(text: str, found: set[str]) -> None:
    assert found <= words(text)


def test_a_key_of_a_thousand_letters_is_no_word() -> None:
    assert words("x" * 1_000 + " and") == {"and"}
    assert words("/".join(["path"] * 60)) == {"path"}


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "caches", "caching"),
        ("de", "Größe", "Größen"),
        ("fr", "fichiers", "fichier"),
        ("es", "configuraciones", "configuración"),
        ("en", "café", "cafe"),
        ("fr", "été", "ete"),
        ("de", "groesse", "groesse"),
    ],
)
def test_forms_of_a_word_share_a_stem(language: str, one: str, other: str) -> None:
    assert set(stems(one.lower(), language)) & set(stems(other.lower(), language))


@pytest.mark.parametrize(
    ("tag", "text", "language"),
    [
        ("de-AT", "the words are of no account", "de"),
        (None, "Wie stelle ich das ein, und wozu ist es gut? Es ist nicht schwer.", "de"),
        ("", "¿Por qué no puedo enviar correo desde la casa de mis padres?", "es"),
        ("nonsense", "what it says and how the rest of it is to be read", "en"),
        (None, "01 02 03", "en"),
        ("zh-CN", "", "zh"),
    ],
)
def test_a_document_says_its_language_or_its_words_do(tag: str | None, text: str, language: str) -> None:
    assert language_of(tag, [text]) == language


def made(text: str, *, owner: str = "o", hashed: bytes = HASH, **around: object) -> PassageTerms:
    """Return the terms of an English passage."""
    given = {"title": None, "headings": (), "language": "en"} | around
    return passage_terms(corpus_key(owner, "c"), text=text, text_hash=hashed, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("times", "steps"), [(1, 1), (2, 2), (4, 3), (5, 4), (40, 5)])
def test_how_often_a_term_is_said_is_told_by_steps(times: int, steps: int) -> None:
    numbers = set(made("sail " * times).numbers)
    term = surface_term("sail")
    there = [step for step in range(len(FREQUENCIES)) if numbers & set(term.numbers([corpus_key("o", "c")], step))]
    assert there == list(range(steps))


def test_what_title_and_headings_say_counts() -> None:
    plain, headed = made("a sail"), made("a sail", headings=("Sails",), title="On masts")
    keys = [corpus_key("o", "c")]
    assert set(stem_term("sail", ["en"]).numbers(keys, 1)) <= set(headed.numbers) - set(plain.numbers)
    assert set(stem_term("mast", ["en"]).numbers(keys)) <= set(headed.numbers)
    assert headed.length == plain.length


def test_each_corpus_has_numbers_of_its_own_and_a_share_is_sampled() -> None:
    assert not set(made("sail mast").numbers) & set(made("sail mast", owner="p").numbers)
    sampled = made("sail", hashed=b"\x10")
    assert len(sampled.numbers) == 2 * len(made("sail").numbers)
    assert set(surface_term("sail").sampled([corpus_key("o", "c")], 16)) <= set(sampled.numbers)


def test_a_row_that_would_be_wide_is_filled_up_with_what_no_index_sees() -> None:
    numbers = made(" ".join(f"word{letter}{other}" for letter in "abcdefghij" for other in "abcdefghij")).numbers
    assert len(numbers) == OUT_OF_LINE
    assert len(set(numbers)) < OUT_OF_LINE


def test_the_digest_tells_titles_headings_and_languages_apart() -> None:
    digests = {
        terms_digest(*given) for given in ((None, (), "en"), ("a", (), "en"), (None, ("a",), "en"), (None, (), "de"))
    }
    assert len(digests) == 4
    terms = DocumentTerms.of("o", "c", title="a", tag="de", texts=())
    assert terms.digest(("b",)) == terms_digest("a", ("b",), "de")


def test_the_stored_numbers_are_this_versions() -> None:
    """Whoever changes what is counted raises `VERSION`, and then this line: rows are rewritten by it."""
    text = (
        "Use asyncio.gather(), v1.26.3 or --long-option; caches and cafés in /etc/nginx/nginx.conf 光盘和磁带 HTTP_404"
    )
    numbers = made(text, title="Title", headings=("Heading",)).numbers
    assert (VERSION, len(numbers), sum(numbers) % 1_000_003) == (1, 35, 97347)
