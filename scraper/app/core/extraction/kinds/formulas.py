"""Formulas of Office (OMML) in one line: `a/b`, `x^2`, `√(x+1)`, in brackets where the line would say something else."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from app.core.extraction.markup import attribute, local

_M: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_NAMES: Final = "oMath f sSup sSub sSubSup sPre rad nary d func limLow limUpp m eqArr"
_STRUCTURES: Final = frozenset(f"{_M}{name}" for name in _NAMES.split())
_SCRIPT: Final = re.compile(r"\w+|\W")
_ONE: Final = re.compile(r"(?:\w|\d+(?:[.,]\d+)?)(?:[\^_](?:\w+|\([^()]*\)))*")
_PRODUCT: Final = re.compile(r"[\w.,]+(?:[\^_](?:\w+|\([^()]*\)))*")
_ROOTS: Final = {"": "√", "2": "√", "3": "∛", "4": "∜"}


def is_structure(element: Any) -> bool:
    """Return whether an element is a formula, or one in it whose parts say by their places what they mean."""
    return element.tag in _STRUCTURES


def linear(element: Any, read: Callable[[Any], str]) -> str:
    """Return such an element as text.

    Parameters
    ----------
    read
        Returns any element's text.
    """
    kind = local(element)
    if kind == "oMath":
        return _line(element, read)
    if kind == "m":
        return "; ".join(", ".join(_line(cell, read) for cell in row) for row in element if local(row) == "mr")
    parts = [(local(part), _line(part, read)) for part in element if not local(part).endswith("Pr")]
    named = dict(parts)
    base, scripts = named.get("e", ""), _scripts(named.get("sub", ""), named.get("sup", ""))
    match kind:
        case "f":
            if _said(element, "type") == "noBar":
                return f"{named.get('num', '')}¦{named.get('den', '')}"
            return f"{_bracketed(named.get('num', ''), _PRODUCT)}/{_bracketed(named.get('den', ''), _ONE)}"
        case "sPre":
            return f"{scripts} {base}"
        case "rad":
            degree = named.get("deg", "")
            return f"{_ROOTS.get(degree, f'√[{degree}]')}{_bracketed(base, _ONE)}"
        case "nary":
            return f"{_said(element, 'chr') or '∫'}{scripts} {base}"
        case "d":
            opens, closes, between = (_said(element, name) for name in ("begChr", "endChr", "sepChr"))
            inner = ("|" if between is None else between).join(text for name, text in parts if name == "e")
            return f"{'(' if opens is None else opens}{inner}{')' if closes is None else closes}"
        case "func":
            return f"{named.get('fName', '')} {base}"
        case "limLow":
            return f"{base}{_scripts(named.get('lim', ''), '')}"
        case "limUpp":
            return f"{base}{_scripts('', named.get('lim', ''))}"
        case "eqArr":
            return "; ".join(text for name, text in parts if name == "e")
    return f"{_bracketed(base, _PRODUCT)}{scripts}"


def _line(parent: Any, read: Callable[[Any], str]) -> str:
    """Return what stands beside each other, a fraction apart from a factor beside it."""
    texts = [(local(element) == "f", text) for element in parent if (text := read(element))]
    line = "".join(text for _, text in texts[:1])
    for (was_fraction, before), (is_fraction, text) in pairwise(texts):
        apart = (was_fraction or is_fraction) and _joins(before[-1]) and _joins(text[0])
        line += f" {text}" if apart else text
    return line


def _joins(letter: str) -> bool:
    return letter.isalnum() or letter in "()√∛∜"


def _scripts(under: str, above: str) -> str:
    return (f"_{_bracketed(under, _SCRIPT)}" if under else "") + (f"^{_bracketed(above, _SCRIPT)}" if above else "")


def _bracketed(text: str, simple: re.Pattern[str]) -> str:
    return text if not text or simple.fullmatch(text) or _is_bracketed(text) else f"({text})"


def _is_bracketed(text: str) -> bool:
    """Whether one pair of brackets is around all of a text."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth <= 0:
            return letter == ")" and at == len(text) - 1 > 0
    return False


def _said(element: Any, name: str) -> str | None:
    """Return a structure's property, `None` if it does not say."""
    for properties in element:
        if local(properties).endswith("Pr"):
            for each in properties:
                if local(each) == name:
                    return attribute(each, "val") or ""
    return None
