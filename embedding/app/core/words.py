"""Words, as technical people type them: what is counted of a passage, and what is looked for of a query.

A name is kept whole, and its parts beside it: `asyncio.gather`, `snake_case`, `assertEqual`, `/etc/nginx/nginx.conf`, `--long-option`
are found by each of their parts, and first by all of it. Whole is without what joins it, so that `data_source`, `dataSource` and
`data-source` are one. Words are stemmed by their document's language, and found with and without their accents; what is written
without blanks between words is taken as its pairs of characters.
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

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese, Japanese
    "\uac00-\ud7af"  # Korean has blanks, but its endings stick to the word
)
_UNSPACED_RUN: Final = re.compile(f"([{_UNSPACED}]+)")
_LETTERS: Final = r"[\w\u0300-\u036f\u0900-\u0dff]"
# Python's \w lacks accents that stand alone, and the vowel signs of India's scripts
_RUN: Final = re.compile(
    rf"(?<!\w)[A-Za-z](?:\+\+|#)(?!\w)|{_LETTERS}+(?:[-.:/@+#$&\\=~]{{1,3}}(?=[^\W_]){_LETTERS}+)*"  # C++, C#; names
)
_ELISION: Final = re.compile(r"(?<!\w)(?:[cdjlmnst]|qu)['’](?=\w)|(?<=\w)['’](?:s|t|re|ve|ll|d|m)(?!\w)", re.IGNORECASE)
_SEGMENTS: Final = re.compile(r"[/:@+#$&\\=~]+")
_PARTS: Final = re.compile(
    r"[-_]+|(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)
_RELEASE: Final = re.compile(r"v?(\d+(?:\.\d+)+)", re.IGNORECASE)
_CODE: Final = re.compile(r"\d|[_./:@#$\\=]|[a-z][A-Z]")
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
    """

    wholes: tuple[str, ...]
    parts: tuple[str, ...]
    code: bool = False


def runs(text: str) -> list[str]:
    """Return what stands between blanks and signs, in a text's order, and of scripts without blanks each pair of characters."""
    text = unicodedata.normalize("NFKC", text)
    if "'" in text or "’" in text:
        text = _ELISION.sub(" ", text)
    if text.isascii() or _UNSPACED_RUN.search(text) is None:
        return _RUN.findall(text)
    found: list[str] = []
    for place, piece in enumerate(_UNSPACED_RUN.split(text)):
        if place % 2 == 0:
            found += _RUN.findall(piece)
        elif len(piece) == 1:
            found.append(piece)
        else:
            found += [piece[at : at + 2] for at in range(len(piece) - 1)]
    return found


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
    if len(run) <= MAX_RUN_CHARACTERS:
        name = _name(run)
        return () if name is None else (name,)
    pieces = (piece for piece in _JOINTS.split(run) if piece)
    return tuple(Name((), (piece.lower(),)) for piece in pieces if len(piece) <= MAX_RUN_CHARACTERS)


def _name(run: str) -> Name | None:
    wholes: dict[str, None] = {}
    parts: list[str] = []
    segments = [segment for segment in _SEGMENTS.split(run) if segment.strip("._-")]
    for segment in segments:
        if (release := _RELEASE.match(segment)) is not None:
            wholes |= dict.fromkeys(_releases(release[1]))
            segment = segment[release.end() :]
        dotted = [piece for piece in segment.split(".") if piece]
        for piece in dotted:
            found = [part.lower() for part in _PARTS.split(piece) if part]
            if len(found) > 1:
                wholes["".join(found)] = None
                found = [part for part in found if len(part) > 1] or found
            parts += found
        if len(dotted) > 1:
            wholes[_joined(segment)] = None
    if len(segments) > 1:
        wholes[_joined(run)] = None
    if not parts and not wholes:
        return None
    code = bool(wholes) and _CODE.search(run) is not None
    return Name(tuple(wholes), tuple(parts[:MAX_PARTS]), code)


def _releases(number: str) -> Iterator[str]:
    """Return `1.26.3` and `1.26` of the first."""
    numbers = number.split(".")
    return (".".join(numbers[:count]) for count in range(2, len(numbers) + 1))


def _joined(name: str) -> str:
    return _JOINTS.sub("", name).lower()


def unspaced(word: str) -> bool:
    """Return whether a word is of a script that has no blanks between words."""
    return _UNSPACED_RUN.match(word) is not None


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
