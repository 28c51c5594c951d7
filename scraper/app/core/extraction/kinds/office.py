"""What the kinds of Microsoft's Office have in common: how parts lead to each other, and what is known of the whole."""

import posixpath
from typing import Any
from urllib.parse import unquote

from app.core.extraction.markup import local
from app.core.extraction.packages import Package


def relations(package: Package, part: str) -> list[tuple[str, str]]:
    """Return where a part leads to: each relation's kind and its target's name; of the whole for ""."""
    return [(kind, _name(part, target)) for kind, _, target, outside in _relations(package, part) if not outside]


def targets(package: Package, part: str) -> dict[str, str]:
    """Return the same by the relations' ids."""
    return {name: _name(part, target) for _, name, target, outside in _relations(package, part) if not outside}


def addresses(package: Package, part: str) -> dict[str, str]:
    """Return where a part links to, by the relations' ids."""
    return {
        name: target for kind, name, target, outside in _relations(package, part) if outside and kind == "hyperlink"
    }


def _name(part: str, target: str) -> str:
    target = unquote(target)
    return (
        target.lstrip("/")
        if target.startswith("/")
        else posixpath.normpath(posixpath.join(part.rpartition("/")[0], target))
    )


def _relations(package: Package, part: str) -> list[tuple[str, str, str, bool]]:
    """Return each relation's kind, its id, its target, and whether that is outside of the document."""
    folder, _, name = part.rpartition("/")
    tree = package.tree(posixpath.join(folder, "_rels", f"{name}.rels"))
    return [
        (
            relation.get("Type", "").rpartition("/")[2],
            relation.get("Id", ""),
            relation.get("Target", ""),
            relation.get("TargetMode") == "External",
        )
        for relation in (tree if tree is not None else ())
        if local(relation) == "Relationship"
    ]


def core_properties(package: Package) -> dict[str, Any]:
    """Return a document's title, author and language, as far as it says so."""
    tree = package.tree("docProps/core.xml")
    if tree is None:
        return {}
    said = {local(element): (element.text or "").strip() for element in tree}
    return {
        "title": said.get("title") or None,
        "author": said.get("creator", "")[:500] or None,
        "language": said.get("language", "")[:35] or None,
    }
