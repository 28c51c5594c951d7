"""An `.env` made from its `.env.example`: comments stay, placeholders go, defaults are set where another value is wanted.

And read again as Compose reads it, which is neither a shell's way nor that of other libraries of this name.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

_SETTING = re.compile(r"^(?P<off>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$")
PLACEHOLDER = re.compile(r"<[^<>]+>")
_SPECIAL = re.compile(r"[$#\"'\\]|^\s|\s$")
# what Compose would interpolate, cut off or unescape outside quotes
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")
_IN_DOUBLE_QUOTES = re.compile(r'[$"\\]')
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*[=:]\s*(?P<value>.*?)\s*")
_SINGLE = re.compile(r"'(?P<text>(?:[^'\\]|\\.)*)'")
_DOUBLE = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\.|\$\$")
_INTERPOLATED = "has a $, which Compose takes for a variable's name: put the value in single quotes"
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


class DotenvError(ValueError):
    """An `.env` cannot be made. Its text names variables, never their values."""


def required(example: str) -> dict[str, str]:
    """Return the variables that have no default, each with the placeholder that stands in its place."""
    found = (_SETTING.match(line) for line in example.splitlines())
    return {one["name"]: one["value"] for one in found if one and not one["off"] and PLACEHOLDER.search(one["value"])}


def variables(example: str) -> tuple[list[str], list[str]]:
    """Return all variables that an example names, and those of them that it has no default for."""
    found = (_SETTING.match(line) for line in example.splitlines())
    return list(dict.fromkeys(one["name"] for one in found if one)), list(required(example))


def fill(example: str, values: Mapping[str, str]) -> str:
    """Return the example with these values in it.

    A variable that is commented out is uncommented when it has a value here; every other line stays as it is.

    Raises
    ------
    DotenvError
        If the example has no such variable, a placeholder is left, or a value cannot be written in an `.env`.
    """
    lines = example.splitlines()
    at: dict[str, int] = {}
    for number, line in enumerate(lines):
        one = _SETTING.match(line)
        # of several lines with one name the active one counts, else the first
        if one and (one["name"] not in at or not one["off"]):
            at[one["name"]] = number
    unknown = sorted(set(values) - set(at))
    if unknown:
        raise DotenvError(f"no such variable: {', '.join(unknown)}")
    for name, value in values.items():
        lines[at[name]] = f"{name}={_written(name, value)}"
    text = "\n".join(lines) + "\n"
    # a value that was given may look like a placeholder, and is not to be repeated
    left = [f"{name} (now {value})" for name, value in required(text).items() if name not in values]
    if left:
        raise DotenvError(f"no value for {', '.join(left)}")
    return text


def _written(name: str, value: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise DotenvError(f"{name}: a line break or another control character cannot be written")
    if not _SPECIAL.search(value):
        return value
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    # between single quotes no backslash escapes a backslash, so one before the closing quote would take that for itself
    return '"' + _IN_DOUBLE_QUOTES.sub(r"\\\g<0>", value) + '"'


class Settings(dict[str, str]):
    """The variables of an `.env`, and what is wrong with its lines, by variable."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, str] = {}


def read(text: str) -> Settings:
    """Return an `.env`'s variables as Compose makes them of it. Faults name a variable, or a line, and no value."""
    found = Settings()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment is None:
            found.faults[f"line {number}"] = "is no NAME=value, nor a comment"
            continue
        name = assignment["name"]
        if name in found:
            found.faults[name] = "stands there twice, and the last one counts: leave one"
        try:
            found[name] = _meant(assignment["value"])
        except DotenvError as error:
            found.faults[name] = str(error)
            found[name] = ""
    return found


def _meant(value: str) -> str:
    if value[:1] in ("'", '"'):
        quoted = (_SINGLE if value[0] == "'" else _DOUBLE).match(value)
        if quoted is None:
            raise DotenvError(f"begins with a quotation mark ({value[0]}) that is not closed on its line")
        if re.fullmatch(r"\s*(#.*)?", value[quoted.end() :]) is None:
            raise DotenvError("goes on behind its closing quotation mark")
        text = quoted["text"]
        if value[0] == "'":
            return text.replace("\\'", "'")
        if "$" in _ESCAPED.sub("", text):
            raise DotenvError(_INTERPOLATED)
        return _ESCAPED.sub(lambda one: _ESCAPES.get(one[0][1], one[0]), text)
    plain = value.partition(" #")[0].rstrip()
    if "$" in plain.replace("$$", ""):
        raise DotenvError(_INTERPOLATED)
    return plain.replace("$$", "$")


def write(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises
    ------
    DotenvError
        If it exists and nobody said that it may go.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".env-")  # mode 600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        if overwrite:
            Path(temporary).replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError as error:
        raise DotenvError(f"{path} exists already") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
