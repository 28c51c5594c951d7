"""An `.env` made from its `.env.example`: comments stay, placeholders go, defaults are set where another value is wanted."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

_SETTING = re.compile(r"^(?P<off>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$")
_PLACEHOLDER = re.compile(r"<[^<>]+>")
_SPECIAL = re.compile(r"[$#\"\\]|^\s|\s$")
# what Compose would interpolate, cut off or unescape outside single quotes


class DotenvError(ValueError):
    """An `.env` cannot be made. Its text names variables, never their values."""


def required(example: str) -> dict[str, str]:
    """Return the variables that have no default, each with the placeholder that stands in its place."""
    found = (_SETTING.match(line) for line in example.splitlines())
    return {one["name"]: one["value"] for one in found if one and not one["off"] and _PLACEHOLDER.search(one["value"])}


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
    left = [f"{name} (now {value})" for name, value in required(text).items()]
    if left:
        raise DotenvError(f"no value for {', '.join(left)}")
    return text


def _written(name: str, value: str) -> str:
    if "\n" in value or "\r" in value or ("'" in value and _SPECIAL.search(value)):
        raise DotenvError(f"{name}: a line break, or a quote beside another special character, cannot be written")
    if "'" in value:
        return f'"{value}"'
    return f"'{value}'" if _SPECIAL.search(value) else value


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
