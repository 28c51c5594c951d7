"""An image's inventory as a software bill of materials: CycloneDX 1.6, in JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.model.tool import Tool
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from chores.inventory import Inventory, Package

OURS: Final = ("ml-shared",)
# no index has it: a package URL of one would name somebody else's
PLACE: Final = "installed-in"
ALLOWED: Final = "one of the distributions that requirements.txt allows"
VENV: Final = "/venv/"


@dataclass(frozen=True)
class Image:
    """The image a bill is of: its name and tag, `identity` (`sha256:…`), and when it was made."""

    name: str
    tag: str
    identity: str
    created: datetime


class BillError(ValueError):
    """A bill does not follow CycloneDX' schema."""


def pinned_hashes(requirements: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the SHA-256 of the distributions that a requirements file allows, by name and version."""
    found = {}
    for block in re.findall(r"^[A-Za-z0-9].+?(?=^[A-Za-z0-9#]|\Z)", requirements, re.M | re.S):
        one = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", block)
        if one:
            name = re.sub(r"[-_.]+", "-", one[1]).lower()
            found[name, one[2]] = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
    return found


def bill(image: Image, inventory: Inventory, pinned: Mapping[tuple[str, str], Sequence[str]]) -> str:
    """Return the document. The same image gives the same document, byte for byte.

    Raises
    ------
    BillError
        If it does not follow the schema.
    """
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{image.name}@{image.identity}"))
    bom.metadata.timestamp = image.created
    bom.metadata.tools.tools.add(Tool(vendor="CloudCIX", name="make sbom"))
    root = Component(
        type=ComponentType.CONTAINER,
        name=image.name,
        version=image.tag,
        bom_ref="image",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image.identity.removeprefix("sha256:"))],
    )
    bom.metadata.component = root
    components = [_component(package, inventory, pinned) for package in inventory.packages]
    if inventory.distribution:
        system = Component(
            type=ComponentType.OPERATING_SYSTEM,
            name=inventory.distribution,
            version=inventory.release or None,
            bom_ref="distribution",
        )
        components.append(system)
    bom.components.update(components)
    bom.register_dependency(root, components)
    text: str = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise BillError(f"{image.name}: {wrong}")
    return text


def _component(package: Package, inventory: Inventory, pinned: Mapping[tuple[str, str], Sequence[str]]) -> Component:
    is_python = package.kind == "pypi"
    distro = f"{inventory.distribution}-{inventory.release}".strip("-")
    qualifiers = {} if is_python else {"arch": package.architecture, "distro": distro}
    kind, namespace = package.kind, None if is_python else inventory.distribution or None
    if is_python and package.name in OURS:
        kind = "generic"
    url = PackageURL(kind, namespace, package.name, package.version, {k: v for k, v in qualifiers.items() if v})
    component = Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=url,
        bom_ref=f"{url}#{package.place}" if package.place else str(url),
        hashes=[HashType(alg=HashAlgorithm(name), content=value) for name, value in package.hashes],
    )
    if package.place:
        component.properties.add(Property(name=PLACE, value=package.place))
        allowed = pinned.get((package.name, package.version), ()) if package.place.startswith(VENV) else ()
        for value in allowed:  # which of them it was, the machine that built the image knew
            component.external_references.add(
                ExternalReference(
                    type=ExternalReferenceType.DISTRIBUTION,
                    url=XsUri(str(url)),
                    comment=ALLOWED,
                    hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value)],
                )
            )
    if len(package.licences) == 1:
        component.licenses.add(LicenseFactory().make_from_string(package.licences[0]))
    else:  # a list may hold no expression
        component.licenses.update(DisjunctiveLicense(name=name) for name in package.licences)
    return component
