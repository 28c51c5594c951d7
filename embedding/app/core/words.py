"""Words, as technical people type them: what is counted of a passage, and what is looked for of a query.

A name is kept whole, and its parts beside it: `asyncio.gather`, `snake_case`, `assertEqual`, `/etc/nginx/nginx.conf`, `--long-option`
are found by each of their parts, and first by all of it. Whole is without what joins it, so that `data_source`, `dataSource` and
`data-source` are one. A version within a name, `nginx-1.26.3` or `python3.11`, is a whole of its own. Words are stemmed by their
document's language, and found with and without their accents; what is written without blanks between words is taken as its pairs of
characters, beside which a passage's Chinese and Korean characters are what somebody may look for alone.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import Stemmer  # type: ignore[import-not-found]  # a compiled module without stubs

from app.core.languages import STEMMERS

MAX_RUN_CHARACTERS: Final = 128
# what is longer is no name that somebody types: a key, or an image in base64
MAX_PARTS: Final = 16

UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese, Japanese
    "\uac00-\ud7af"  # Korean has blanks, but its endings stick to the word
)
UNSPACED_RUN: Final = re.compile(f"([{UNSPACED}]+)")
_ALONE: Final = re.compile("[\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\uac00-\ud7af]")
# characters of which one may be a word: no syllable of kana, no letter of Thai
_LETTERS: Final = r"[\w\u0300-\u036f\u0900-\u0963\u0966-\u096f\u0971-\u0dff]"
# Python's \w lacks accents that stand alone, and the vowel signs of India's scripts; these scripts' full stop is none of their letters
_SIGNED_NUMBER: Final = r"\d{1,2}(?:\.\d+|[a-z])?"
_SIGNED: Final = rf"[A-Za-z](?:\+\+|#)(?:{_SIGNED_NUMBER})?(?!\w)"
# C++, C#, C++17
RUN: Final = re.compile(
    rf"(?<!\w){_SIGNED}|{_LETTERS}+(?:[-.:/@+#$&\\=~]{{1,3}}(?=[^\W_])(?!{_SIGNED}){_LETTERS}+)*"  # of C/C++, each
)
_SIGNED_VERSION: Final = re.compile(rf"([A-Za-z](?:\+\+|#))({_SIGNED_NUMBER})")
_ELISION: Final = re.compile(r"(?<!\w)(?:[cdjlmnst]|qu)['’](?=\w)|(?<=\w)['’](?:s|t|re|ve|ll|d|m)(?!\w)", re.IGNORECASE)
_SEGMENTS: Final = re.compile(r"[/:@+#$&\\=~]+")
_PARTS: Final = re.compile(
    r"[-_]+|(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)
_RELEASE: Final = re.compile(r"(?:(?<![^\W\d_])v)?(\d+(?:\.\d+)+)", re.IGNORECASE)
_BEFORE_DIGITS: Final = re.compile(r"([^\W\d_]+)[-_]?\d")
_CODE: Final = re.compile(r"\d|[_./:@#$\\=]|[a-z][A-Z]")
_DOTS: Final = re.compile(r"\.+")
_ACCENTS: Final = re.compile(r"[\u0300-\u036f]+")
_JOINTS: Final = re.compile(r"[-._/:@+#$&\\=~]+")


@dataclass(frozen=True, slots=True)
class Name:
    """What stands between blanks: a word alone, or a name of several parts.

    Parameters
    ----------
    wholes
        The forms in which it is one word: without joints, and each path's segment so.
    parts
        The words that it is made of; those of a word alone are itself.
    code
        Whether no sentence has it by itself: `E0040`, `a_b`, `getItem`, but not `self-signed`.
    beside
        What else finds a passage that says it, and is not asked for by who looks for it: `mysql` of `MySQL8`, `python3` of
        `python3.11`.
    """

    wholes: tuple[str, ...]
    parts: tuple[str, ...]
    code: bool = False
    beside: tuple[str, ...] = ()


def runs(text: str) -> list[str]:
    """Return what stands between blanks and signs, in a text's order, and of scripts without blanks each pair of characters."""
    text = unicodedata.normalize("NFKC", text)
    if "'" in text or "’" in text:
        text = _ELISION.sub(" ", text)
    if text.isascii() or UNSPACED_RUN.search(text) is None:
        return RUN.findall(text)
    found: list[str] = []
    for place, piece in enumerate(UNSPACED_RUN.split(text)):
        if place % 2 == 0:
            found += RUN.findall(piece)
        elif len(piece) == 1:
            found.append(piece)
        else:
            found += [piece[at : at + 2] for at in range(len(piece) - 1)]
    return found


def characters(text: str) -> list[str]:
    """Return the characters that may be words alone, of what a text's runs have in pairs."""
    if text.isascii():
        return []
    pieces = UNSPACED_RUN.findall(unicodedata.normalize("NFKC", text))
    return [character for piece in pieces if len(piece) > 1 for character in _ALONE.findall(piece)]


def names(text: str) -> Iterator[Name]:
    """Return a text's names, in its order, in small letters."""
    return (name for run in runs(text) for name in names_of(run))


@lru_cache(maxsize=65_536)
def names_of(run: str) -> tuple[Name, ...]:
    """Return what a run is taken for: a name, most often."""
    if unspaced(run):
        return (Name((), (run,)),)
    if run[-1] in "+#":
        return (Name((), (run.lower(),)),)
    if (signed := _SIGNED_VERSION.fullmatch(run)) is not None:
        language, version = signed[1].lower(), signed[2]
        parts = (language, version) if len(version) > 1 else (language,)
        return (Name((run.lower(),), parts, _CODE.search(run) is not None),)
    if len(run) <= MAX_RUN_CHARACTERS:
        name = _name(run)
        return () if name is None else (name,)
    pieces = (piece for piece in _JOINTS.split(run) if piece)
    return tuple(Name((), (piece.lower(),)) for piece in pieces if len(piece) <= MAX_RUN_CHARACTERS)


def _name(run: str) -> Name | None:
    wholes: dict[str, None] = {}
    beside: dict[str, None] = {}
    parts: list[str] = []
    segments = [segment for segment in _SEGMENTS.split(run) if segment.strip("._-")]
    for segment in segments:
        releases = list(_RELEASE.finditer(segment))
        for release in releases:
            wholes |= dict.fromkeys(_releases(release[1]))
            if release.start() > 0:
                beside |= dict.fromkeys(_beside_release(segment[: release.start()], release[1]))
        leads = bool(releases) and releases[0].start() == 0
        dotted = [piece for piece in (_RELEASE.sub(".", segment) if releases else segment).split(".") if piece]
        for piece in dotted:
            found = [part.lower() for part in _PARTS.split(piece) if part]
            if len(found) > 1:
                if (before := _BEFORE_DIGITS.match(piece)) is not None and len(_PARTS.split(before[1])) > 1:
                    beside[before[1].lower()] = None
                wholes["".join(found)] = None
                found = [part for part in found if len(part) > 1] or found
            parts += found
        if len(dotted) + len(releases) - leads > 1:
            wholes[_joined(segment[releases[0].end() :] if leads else segment)] = None
    if len(segments) > 1:
        wholes[_joined(run)] = None
    if not parts and not wholes:
        return None
    code = bool(wholes) and _CODE.search(run) is not None
    return Name(tuple(wholes), tuple(parts[:MAX_PARTS]), code, tuple(beside))


def _beside_release(head: str, number: str) -> Iterator[str]:
    """Return `python3` and `11` of `python3.11`: what it would be, and would have, were that no release."""
    numbers = number.split(".")
    if named := _joined(head.rpartition(".")[2]):
        yield named + numbers[0]
    yield from (one for one in numbers if len(one) > 1)


def _releases(number: str) -> Iterator[str]:
    """Return `1.26.3` and `1.26` of the first."""
    numbers = number.split(".")
    return (".".join(numbers[:count]) for count in range(2, len(numbers) + 1))


def _joined(name: str) -> str:
    return _JOINTS.sub("", name).lower()


def places_of(run: str) -> Iterator[tuple[int, int, str]]:
    """Return where each form of a run begins and ends in it, and the form; what has others within comes before these."""
    if run[-1] in "+#":
        yield 0, len(run), run.lower()
    elif (signed := _SIGNED_VERSION.fullmatch(run)) is not None:
        for place in range(3):
            yield *signed.span(place), signed[place].lower()
    elif len(run) > MAX_RUN_CHARACTERS:
        yield from ((begin, end, run[begin:end].lower()) for begin, end in _between(_JOINTS, run, 0, len(run)))
    else:
        yield _whole(run, 0, len(run))
        for begin, end in _between(_SEGMENTS, run, 0, len(run)):
            yield from ((begin + start, begin + stop, form) for start, stop, form in _places_in(run[begin:end]))


def _places_in(segment: str) -> Iterator[tuple[int, int, str]]:
    yield _whole(segment, 0, len(segment))
    rest = segment
    for release in _RELEASE.finditer(segment):
        begin, end = release.span()
        rest = f"{rest[:begin]}{'.' * (end - begin)}{rest[end:]}"
        yield from ((begin, end, form) for form in _releases(release[1]))
        if begin == 0:
            yield _whole(segment, end, len(segment))
            continue
        start, first = segment.rfind(".", 0, begin) + 1, release.start(1) + release[1].index(".")
        yield start, first, _joined(segment[start:begin]) + segment[release.start(1) : first]
        yield from (
            (start, stop, segment[start:stop]) for start, stop in _between(_DOTS, segment, release.start(1), end)
        )
    for begin, end in _between(_DOTS, rest, 0, len(rest)):
        yield _whole(segment, begin, end)
        if (before := _BEFORE_DIGITS.match(segment, begin, end)) is not None:
            yield *before.span(1), before[1].lower()
        parts = list(_between(_PARTS, segment, begin, end))
        longer = [(start, stop) for start, stop in parts if stop - start > 1] or parts
        yield from ((start, stop, segment[start:stop].lower()) for start, stop in longer)


def _whole(text: str, begin: int, end: int) -> tuple[int, int, str]:
    """Return where a stretch of a text begins and ends without what it joins to others, and the one word that it is."""
    bare = text[begin:end].lstrip("._-")
    begin = end - len(bare)
    return begin, begin + len(bare.rstrip("._-")), _joined(bare)


def _between(separator: re.Pattern[str], text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Return where what a pattern separates begins and ends."""
    for found in separator.finditer(text, begin, end):
        if begin < found.start():
            yield begin, found.start()
        begin = found.end()
    if begin < end:
        yield begin, end


def unspaced(word: str) -> bool:
    """Return whether a word is of a script that has no blanks between words."""
    return UNSPACED_RUN.match(word) is not None


def folded(word: str) -> str:
    """Return a word without accents, in small letters."""
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word.casefold())))


@lru_cache(maxsize=262_144)
def stems(word: str, language: str) -> tuple[str, ...]:
    """Return the forms under which a word of a language is counted: its stem, and that of the word without accents."""
    plain = folded(word)
    if language not in STEMMERS or not word.isalpha() or (word.isascii() and len(word) < 3):
        return (plain,)
    stem = _stemmer(language).stemWord
    forms = dict.fromkeys((folded(stem(word)), folded(stem(plain))))
    return tuple(forms)


@lru_cache(maxsize=64)
def _stemmer(language: str) -> "Stemmer.Stemmer":
    made = Stemmer.Stemmer(STEMMERS[language])
    made.maxCacheSize = 0
    return made
