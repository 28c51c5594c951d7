"""How text is taken apart: names as technical people type them, languages, scripts without blanks."""

import pytest

from app.core.languages import language_of
from app.core.queries import parse_query
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
    """Return every form that is asked for by who types a text, before its words are stemmed."""
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
        ("यह हिन्दी।", {"यह", "हिन्दी"}),
        ("get nginx-1.26.3.tar.gz", {"1.26.3", "1.26", "nginx", "tar", "gz", "nginx1263targz"}),
        ("on ubuntu-22.04, libssl.so.1.1 and dev-v2.0", {"22.04", "ubuntu", "ubuntu2204", "1.1", "2.0"}),
        ("python3.11", {"3.11", "python", "python311"}),
        ("C/C++, Objective-C++ and R/C#", {"c", "c++", "objective", "r", "c#"}),
        ("C++17, C++2a, C#8 or C#7.3", {"c++", "c++17", "17", "c++2a", "c#", "c#8", "c#7.3"}),
    ],
)
def test_a_name_is_found_whole_and_by_its_parts(text: str, found: set[str]) -> None:
    assert found <= words(text)


def found_by(query: str, text: str, language: str = "en") -> bool:
    """Return whether a passage has a term of a query."""
    numbers = set(made(text, language=language).numbers)
    terms = parse_query(query).terms([language])
    return any(numbers & set(weighted.term.numbers([corpus_key("o", "c")])) for weighted in terms)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("1.26.3", "nginx-1.26.3.tar.gz"),
        ("22.04", "ubuntu-22.04"),
        ("3.11", "python3.11"),
        ("python3", "python3.11"),
        ("22", "ubuntu-22.04"),
        ("mysql", "MySQL8"),
        ("oauth", "an OAuth2Client"),
        ("postgresql", "PostgreSQL16"),
        ("postgresql", "PostgreSQL-16.4"),
        ("C++", "written in C/C++ and Rust"),
        ("C++", "C++17 and C++20"),
        ("C#", "since C#8"),
        ("C/C++", "written in C++"),
        ("猫", "黒猫がいる"),
        ("锁", "获取锁失败"),
        ("表", "数据库表的结构"),
        ("책", "책을 읽다"),
    ],
)
def test_a_part_of_what_is_written_without_a_blank_finds_it(query: str, text: str) -> None:
    assert found_by(query, text)


@pytest.mark.parametrize(("query", "text"), [("mysql", "postgres"), ("い", "黒猫がいる"), ("1.2", "nginx-1.26.3")])
def test_what_is_no_word_of_it_does_not(query: str, text: str) -> None:
    assert not found_by(query, text)


def test_a_name_with_a_version_is_more_than_half_found_where_the_two_stand_apart() -> None:
    terms = parse_query("nginx-1.26.3").terms(["en"])
    numbers = set(made("nginx 1.26.3").numbers)
    found = [one.weight for one in terms if numbers & set(one.term.numbers([corpus_key("o", "c")]))]
    assert sum(found) > 0.5 * sum(one.weight for one in terms)


def test_what_somebody_may_look_for_alone_makes_no_passage_longer() -> None:
    assert made("获取锁失败").length == 4
    assert made("MySQL8").length == 2
    assert made("python3.11").length == 1


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
        "Use asyncio.gather(), v1.26.3 or --long-option; caches and cafés in /etc/nginx/nginx.conf 光盘和磁带 HTTP_404 "
        "python3.11 MySQL8 C/C++17"
    )
    numbers = made(text, title="Title", headings=("Heading",)).numbers
    assert (VERSION, len(numbers), sum(numbers) % 1_000_003) == (2, 53, 589447)
