"""What a sheet's cells hold, as text: numbers, moments, and times that have passed."""

import re
from decimal import Decimal
from typing import Final

_WHOLE: Final = re.compile(r"-?\d{1,400}")
_EXACT: Final = 2**53
# up to there, a float is a whole number as it was written
_WHOLE_MAX: Final = 1e21
_DIGITS: Final = 15
# what Excel keeps of a number; more are those that only binary fractions have
_SMALL_MAX_CHARACTERS: Final = 11
# Excel's own bound on what it writes out


def plain_number(value: str) -> str:
    """Return a number as Excel shows it where there is room: 15 digits, and an exponent only for what is very large or small."""
    if _WHOLE.fullmatch(value):
        return value
    try:
        found = float(value)
    except ValueError:
        return value
    if found.is_integer() and abs(found) < _EXACT:
        return str(int(found))
    short = f"{found:.{_DIGITS}g}"
    if "e" not in short:  # nan and inf among them
        return short
    plain = f"{Decimal(short):f}"
    if 1 <= abs(found) < _WHOLE_MAX or len(plain.lstrip("-")) <= _SMALL_MAX_CHARACTERS:
        return plain
    return short.upper()


def elapsed(seconds: float) -> str:
    """Return how much time passed: `36:00:00`."""
    minutes, rest = divmod(round(abs(seconds)), 60)
    return f"{'-' if seconds < 0 else ''}{minutes // 60}:{minutes % 60:02}:{rest:02}"


def spoken(moment: str) -> str:
    """Return a moment of ISO 8601 as those that are kept as numbers are told: without a time, if that is midnight."""
    return moment.removesuffix("Z").removesuffix("T00:00:00").removesuffix("T00:00:00.000").replace("T", " ")
