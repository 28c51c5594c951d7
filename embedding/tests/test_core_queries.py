"""What a query asks for, and how two orders become one."""

from uuid import UUID

import pytest

from app.core.queries import MAX_COUNTED, parse_query
from app.core.ranking import (
    MEANING_BESIDE_NAME,
    MEANING_OF_NAME,
    MEANING_OF_QUESTION,
    Candidate,
    Leg,
    by_vector,
    by_words,
    fuse,
)
from app.core.terms import stem_term, surface_term
from ml_shared.testing.pace import processor_time

NOWHERE = UUID(int=0)


@pytest.mark.parametrize(
    ("query", "share"),
    [
        ("mkdtemp", MEANING_OF_NAME),
        ("FT_Outline_EmboldenXY", MEANING_OF_NAME),
        ('why is it failing with "connection reset"', MEANING_OF_NAME),
        ("403 internal_field when I send it", MEANING_BESIDE_NAME),
        ("how long is a revoked key accepted", MEANING_OF_QUESTION),
        ("Ersatz für ifconfig", MEANING_OF_QUESTION),
    ],
)
def test_what_is_looked_up_leans_on_words_and_a_question_on_meaning(query: str, share: float) -> None:
    assert parse_query(query).meaning_share == share


@pytest.mark.parametrize(
    ("query", "meaning", "phrases", "excluded"),
    [
        ("plain words", "plain words", (), ()),
        ('say "exactly this" now', "say exactly this now", ("exactly this",), ()),
        ("„genau das“ bitte", "genau das bitte", ("genau das",), ()),
        ("jaguar -car -engine", "jaguar", (), ("car", "engine")),
        ('5" disk and 3" disk', '5" disk and 3" disk', (), ()),
        ('3" disk "hot swap"', "3 disk hot swap", ("hot swap",), ()),
        ('如何"清除"缓存', "如何 清除 缓存", ("清除",), ()),
        ("kubernetes -docker-compose", "kubernetes", (), ("docker-compose",)),
        ("path -os.path -node.js", "path", (), ("os.path", "node.js")),
        ("java -C++ -C#", "java", (), ("C++", "C#")),
        ("ls -rw-r--r-- -la", "ls -rw-r--r-- -la", (), ()),
        ("tar -xz --zero-fill -v -1", "tar -xz --zero-fill -v -1", (), ()),
        ("-car", "-car", (), ()),
        ('"" " "', '"" " "', (), ()),
        ("state-of-the-art", "state-of-the-art", (), ()),
    ],
)
def test_a_query_is_taken_apart(query: str, meaning: str, phrases: tuple[str, ...], excluded: tuple[str, ...]) -> None:
    parsed = parse_query(query)
    assert (parsed.meaning, parsed.phrases, parsed.excluded) == (meaning, phrases, excluded)


@pytest.mark.parametrize(
    ("query", "meaning", "phrases", "excluded"),
    [
        ('python -"hello world"', "python", (), ("hello world",)),
        ('jaguar -"car" x', "jaguar x", (), ("car",)),
        ("jaguar −“fast car” -„rotes Auto“", "jaguar", (), ("fast car", "rotes Auto")),
        ('say "this" -"not that"', "say this", ("this",), ("not that",)),
        ('--"this"', "-- this", ("this",), ()),
        ('-"hello world"', '-"hello world"', (), ()),
    ],
)
def test_a_minus_before_a_phrase_leaves_it_out(
    query: str, meaning: str, phrases: tuple[str, ...], excluded: tuple[str, ...]
) -> None:
    parsed = parse_query(query)
    assert (parsed.meaning, parsed.phrases, parsed.excluded_phrases) == (meaning, phrases, excluded)


def test_function_words_count_only_where_there_is_nothing_else() -> None:
    assert {one.term for one in parse_query("how to sail").terms(["en"])} == {surface_term("sail")}
    assert len(parse_query("to be or not to be").terms(["en"])) == 4
    assert stem_term("wozu", ["de", "en"]) not in {one.term for one in parse_query("wozu segeln").terms(["de"])}


def test_a_word_is_stemmed_in_each_language_of_the_corpora() -> None:
    terms = {one.term for one in parse_query("Dateien").terms(["de"])}
    assert stem_term("dateien", ["de", "en"]) in terms


def test_of_a_text_of_many_words_its_first_and_last_count() -> None:
    words = [f"word{'x' * number}" for number in range(100)]
    terms = {one.term for one in parse_query(" ".join(words)).terms(["en"])}
    assert len(terms) <= 2 * MAX_COUNTED
    there = [surface_term(word) in terms for word in words]
    assert there == [True] * 32 + [False] * 36 + [True] * 32
    assert [surface_term(word) in terms for word in parse_query(" ".join(words[:64])).meaning.split()]
    few = {one.term for one in parse_query(" ".join(words[:64] * 3)).terms(["en"])}
    assert all(surface_term(word) in few for word in words[:64])


@pytest.mark.parametrize(
    ("query", "left_out"),
    [
        ("foo -bar, baz", [["bar"]]),
        ("foo -bar.", [["bar"]]),
        ("foo (-bar) baz", []),
        ("数据 -中国", [["中国"]]),
        ("数据 -数据库", [["数据", "据库"]]),
        ("数据 -中", []),
        ("jaguar -car -中国", [["car"], ["中国"]]),
        ("kubernetes -docker-compose", [["dockercompose"]]),
        ("path -os.path", [["ospath"]]),
        ("install -python3.11", [["python311"]]),
    ],
)
def test_what_is_left_out_is_a_word_or_all_of_its_pairs_of_characters(query: str, left_out: list[list[str]]) -> None:
    found = parse_query(query).left_out(["zh"])
    assert found == [[stem_term(word, ["zh", "en"]) for word in words] for words in left_out]


@pytest.mark.parametrize(
    "odd", ["a «" + " " * 7_990, "«" * 8_000, "„" * 8_000, "“" * 8_000, '"' * 7_999, " -ab" * 2_000]
)
def test_no_query_takes_more_than_a_moment_to_take_apart(odd: str) -> None:
    with processor_time() as spent:
        parse_query(odd).terms(["en", "de"])
    assert spent.seconds < 0.5


def candidates(**scores: float) -> list[Candidate]:
    """Return candidates `c<id>` with their scores."""
    return [Candidate(int(name[1:]), NOWHERE, score) for name, score in scores.items()]


def test_fusion_weighs_how_much_each_leg_found() -> None:
    nearest = candidates(c1=0.9, c2=0.8, c3=0.5)
    named = fuse(nearest, candidates(c3=0.45, c4=0.1), meaning=0.25)
    assert [one.id for one in named] == [3, 1, 2, 4]
    assert named[0].score == pytest.approx(0.75 * 0.45)
    vague = fuse(nearest, candidates(c3=0.1, c4=0.05), meaning=0.25)
    assert [one.id for one in vague] == [1, 2, 3, 4]


def test_each_candidate_tells_its_place_in_either_leg() -> None:
    fused = {one.id: one for one in fuse(candidates(c1=0.9, c2=0.8), candidates(c2=0.4), meaning=0.3)}
    assert (fused[1].vector, fused[1].text) == (Leg(1, 0.9), None)
    assert (fused[2].vector, fused[2].text) == (Leg(2, 0.8), Leg(1, 0.4))
    assert by_vector(candidates(c7=0.5))[0].vector == Leg(1, 0.5)
    assert by_words(candidates(c7=0.5))[0].text == Leg(1, 0.5)


def test_equals_are_in_the_order_of_their_ids_and_one_alone_is_nearest() -> None:
    assert [one.id for one in fuse(candidates(c5=0.5, c3=0.5), candidates(c9=0.2, c8=0.2), meaning=0.3)] == [3, 5, 8, 9]
    assert fuse(candidates(c1=0.2), [], meaning=0.3)[0].score == pytest.approx(0.3)
    assert fuse([], [], meaning=0.3) == []
