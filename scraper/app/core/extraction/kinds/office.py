"""What the kinds of Microsoft's Office have in common: how parts lead to each other, and what is known of the whole."""

import posixpath
from typing import Any
from urllib.parse import unquote

from app.core.extraction.markup import local
from app.core.extraction.packages import Package


def relations(package: Package, part: str) -> list[tuple[str, str]]:
    """Return where a part leads to: each relation's kind and its target's name; of the whole for ""."""
    return [(kind, target) for kind, _, target in _relations(package, part)]


def targets(package: Package, part: str) -> dict[str, str]:
    """Return the same by the relations' ids."""
    return {identifier: target for _, identifier, target in _relations(package, part)}


def _relations(package: Package, part: str) -> list[tuple[str, str, str]]:
    folder, _, name = part.rpartition("/")
    tree = package.tree(posixpath.join(folder, "_rels", f"{name}.rels"))
    found = []
    for relation in tree if tree is not None else ():
        if local(relation) == "Relationship" and relation.get("TargetMode") != "External":
            target = unquote(relation.get("Target", ""))
            at = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            found.append((relation.get("Type", "").rpartition("/")[2], relation.get("Id", ""), at))
    return found


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
