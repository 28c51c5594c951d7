"""The images that compose files and Dockerfiles name: one table in README.md, and every place that has its versions.

In a compose file a digest stands as `${IMAGE_DIGEST-@sha256:…}`: with IMAGE_DIGEST empty, images are taken by tag, for a machine
whose images were not pulled and so have no digest.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chores.folders import REPOSITORY
from chores.registry import Ask, Registry

TABLE_FILE: Final = Path("local-dev/README.md")
NOT_YET: Final = "not pinned by digest yet"
TABLE: Final = re.compile(
    r"(?<=<!-- images: digests written by `make requirements` -->\n)(.*?)(?=<!-- end of images -->)", re.S
)
ROW: Final = re.compile(rf"^\| ([a-z0-9][\w./-]*) \| ([\w.-]+) \| (sha256:[0-9a-f]{{64}}|{NOT_YET}) \|$", re.M)
PLACES: Final = ("*/docker-compose*.yml", "*/Dockerfile", "*/*/Dockerfile")
NAMED: Final = re.compile(
    r"^(?P<before>\s*(?:image|PYTHON_IMAGE): |ARG \w+_IMAGE=)(?P<name>[\w./-]+):(?P<version>[\w.-]+)"
    r"(?:\$\{IMAGE_DIGEST-@(?P<or_tag>\S+)\}|@(?P<digest>\S+))?$",
    re.M,
)


@dataclass(frozen=True)
class Pin:
    """An image as the table, or a place, has it. `digest` is `sha256:…`; none is known before a registry was asked."""

    name: str
    version: str
    digest: str | None


def pins_of(table: str) -> tuple[Pin, ...]:
    """Return the rows of the table, read from the text of its file."""
    found = TABLE.search(table)
    rows = ROW.findall(found[1]) if found else []
    return tuple(Pin(name, version, None if digest == NOT_YET else digest) for name, version, digest in rows)


def named_in(text: str) -> tuple[Pin, ...]:
    """Return the images that a compose file or a Dockerfile names, in its order."""
    return tuple(Pin(one["name"], one["version"], one["or_tag"] or one["digest"]) for one in NAMED.finditer(text))


def places(repository: Path) -> list[Path]:
    """Return the files that may name an image."""
    return sorted(path for pattern in PLACES for path in repository.glob(pattern))


def with_pins(text: str, pins: Iterable[Pin]) -> str:
    """Return a compose file's or a Dockerfile's text with the digests of the table."""
    digests = {(pin.name, pin.version): pin.digest for pin in pins}

    def written(one: re.Match[str]) -> str:
        digest = digests.get((one["name"], one["version"]))
        if not digest:
            return one[0]
        by_digest = f"@{digest}" if one["before"].startswith("ARG") else f"${{IMAGE_DIGEST-@{digest}}}"
        return f"{one['before']}{one['name']}:{one['version']}{by_digest}"

    return NAMED.sub(written, text)


def table_with_pins(table: str, pins: Iterable[Pin]) -> str:
    """Return the text of the table's file with these rows."""
    rows = [f"| {pin.name} | {pin.version} | {pin.digest or NOT_YET} |\n" for pin in pins]
    return TABLE.sub("\n| image | version | digest |\n|---|---|---|\n" + "".join(rows) + "\n", table)


def refresh(ask: Ask, repository: Path = REPOSITORY) -> list[str]:
    """Write the digests that the registry has now, in the table and everywhere, and return a line for each that is new.

    Nothing is written before all have been asked for.

    Raises
    ------
    RegistryError
        If one could not be.
    """
    table = repository / TABLE_FILE
    before = pins_of(table.read_text())
    after = [replace(pin, digest=ask(pin.name, pin.version)) for pin in before]
    _write({table: table_with_pins(table.read_text(), after)})
    _write({path: with_pins(path.read_text(), after) for path in places(repository)})
    return [
        f"{new.name}:{new.version}  {old.digest or NOT_YET} → {new.digest}"
        for old, new in zip(before, after, strict=True)
        if old != new
    ]


def from_registry(repository: Path = REPOSITORY) -> Sequence[str]:
    """Ask Docker Hub, where all of them are."""
    with Registry() as registry:
        return refresh(registry.digest, repository)


def _write(texts: dict[Path, str]) -> None:
    for path, text in texts.items():
        if path.read_text() != text:
            path.write_text(text)
