"""Formulas: MathML in, TeX out.

Where the author's TeX stands beside it, as an annotation, that is taken. What is written here covers presentation MathML
of the usual kind: fractions, roots, scripts, fences, tables.
"""

from collections.abc import Callable
from typing import Final

from lxml.html import HtmlElement

_DEPTH_MAX: Final = 50
_TEX: Final = ("application/x-tex", "text/x-tex", "latex", "tex")
_COMMANDS: Final = {
    "×": "times",
    "÷": "div",
    "≤": "le",
    "≥": "ge",
    "≠": "ne",
    "≈": "approx",
    "∞": "infty",
    "±": "pm",
    "∑": "sum",
    "∏": "prod",
    "∫": "int",
    "∂": "partial",
    "∇": "nabla",
    "→": "to",
    "⋅": "cdot",
    "…": "dots",
    "∈": "in",
    "∉": "notin",
    "⊂": "subset",
    "∪": "cup",
    "∩": "cap",
    "∀": "forall",
    "∃": "exists",
    "{": "{",
    "}": "}",
}
_GREEK: Final = dict(
    zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        [
            "alpha",
            "beta",
            "gamma",
            "delta",
            "varepsilon",
            "zeta",
            "eta",
            "theta",
            "iota",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
            "pi",
            "rho",
            "sigma",
            "tau",
            "upsilon",
            "varphi",
            "chi",
            "psi",
            "omega",
            "Gamma",
            "Delta",
            "Theta",
            "Lambda",
            "Xi",
            "Pi",
            "Sigma",
            "Phi",
            "Psi",
            "Omega",
        ],
        strict=True,
    )
)
_SIGNS: Final = {
    **{sign: f"\\{name}" for sign, name in (_COMMANDS | _GREEK).items()},
    **dict.fromkeys("⁡⁢⁣⁤", ""),  # application and multiplication that nobody sees
    "−": "-",
}


def to_tex(formula: HtmlElement) -> str:
    """Return a formula as TeX; empty if it holds nothing."""
    for annotation in formula.iter("annotation"):
        if (annotation.get("encoding") or "").lower() in _TEX and annotation.text:
            return unwrapped(annotation.text.strip())
    alternative = formula.get("alttext")
    if alternative:
        return unwrapped(alternative.strip())
    return _element(formula, 0).strip()


def unwrapped(tex: str) -> str:
    """Leave out the braces that MediaWiki puts around everything."""
    for opening in (r"{\displaystyle ", r"{\textstyle "):
        if tex.startswith(opening) and tex.endswith("}"):
            return tex[len(opening) : -1].strip()
    return tex


def _element(element: HtmlElement, depth: int) -> str:
    tag = element.tag
    if not isinstance(tag, str) or depth > _DEPTH_MAX or tag in ("annotation", "annotation-xml"):
        return ""
    tag = tag.rpartition(":")[2]
    if tag in ("mi", "mn", "mo", "ms", "mtext"):
        return _leaf(tag, "".join(element.itertext()).strip())
    parts = [_element(child, depth + 1) for child in element]
    written = _WRITTEN.get(tag)
    if written is not None:
        count, write = written
        if len(parts) >= count:
            return write(parts)
    if tag == "mtr":
        return " & ".join(parts) + r" \\ "
    if tag == "mtable":
        return rf"\begin{{matrix}} {''.join(parts)}\end{{matrix}}"
    if tag == "mfenced":
        return f"{element.get('open') or '('}{', '.join(parts)}{element.get('close') or ')'}"
    text = (element.text or "").strip()
    return text + "".join(_joined(parts))


def _joined(parts: list[str]) -> list[str]:
    """Put a blank after a command whose name would run on into what follows."""
    return [
        f"{part} " if part.startswith("\\") and part[-1:].isalpha() and following[:1].isalnum() else part
        for part, following in zip(parts, [*parts[1:], ""], strict=True)
    ]


def _leaf(tag: str, text: str) -> str:
    if tag in ("mtext", "ms"):
        return rf"\text{{{text}}}" if text else ""
    if tag == "mi" and len(text) > 1 and text.isalpha() and text.isascii():
        return rf"\mathrm{{{text}}}"
    return " ".join(_SIGNS.get(sign, sign) for sign in text) if any(sign in _SIGNS for sign in text) else text


def _group(part: str) -> str:
    return part if len(part) == 1 else f"{{{part}}}"


_WRITTEN: Final[dict[str, tuple[int, Callable[[list[str]], str]]]] = {
    "mfrac": (2, lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
    "msqrt": (1, lambda p: rf"\sqrt{{{''.join(p)}}}"),
    "mroot": (2, lambda p: rf"\sqrt[{p[1]}]{{{p[0]}}}"),
    "msup": (2, lambda p: f"{_group(p[0])}^{_group(p[1])}"),
    "msub": (2, lambda p: f"{_group(p[0])}_{_group(p[1])}"),
    "msubsup": (3, lambda p: f"{_group(p[0])}_{_group(p[1])}^{_group(p[2])}"),
    "munder": (2, lambda p: f"{_group(p[0])}_{_group(p[1])}"),
    "mover": (2, lambda p: f"{_group(p[0])}^{_group(p[1])}"),
    "munderover": (3, lambda p: f"{_group(p[0])}_{_group(p[1])}^{_group(p[2])}"),
}
"""How many parts an element has at least, and how it is written."""
