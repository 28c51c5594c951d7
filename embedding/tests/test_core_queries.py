"""What a query asks for, and how two orders become one."""

from uuid import UUID

import pytest

from app.core.queries import MAX_WORDS, parse_query
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
        ('jaguar -"car" x', "jaguar - car x", ("car",), ()),
        ("tar -xz --zero-fill -v -1", "tar -xz --zero-fill -v -1", (), ()),
        ("-car", "-car", (), ()),
        ('"" " "', '"" " "', (), ()),
        ("state-of-the-art", "state-of-the-art", (), ()),
    ],
)
def test_a_query_is_taken_apart(query: str, meaning: str, phrases: tuple[str, ...], excluded: tuple[str, ...]) -> None:
    parsed = parse_query(query)
    assert (parsed.meaning, parsed.phrases, parsed.excluded) == (meaning, phrases, excluded)


def test_function_words_count_only_where_there_is_nothing_else() -> None:
    assert {one.term for one in parse_query("how to sail").terms(["en"])} == {surface_term("sail")}
    assert len(parse_query("to be or not to be").terms(["en"])) == 4
    assert stem_term("wozu", ["de", "en"]) not in {one.term for one in parse_query("wozu segeln").terms(["de"])}


def test_a_word_is_stemmed_in_each_language_of_the_corpora() -> None:
    terms = {one.term for one in parse_query("Dateien").terms(["de"])}
    assert stem_term("dateien", ["de", "en"]) in terms


def test_a_text_of_many_words_is_cut() -> None:
    assert len(parse_query(" ".join(f"word{'x' * number}" for number in range(100))).terms(["en"])) <= 2 * MAX_WORDS


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
