"""What is installed in an image's file system: the packages of its distribution, and those of Python.

Read from the databases that the installers keep, so that nothing in the image has to run: some have no shell. What a program was
compiled from (the Go modules in Alloy, say) stands in none of them.
"""

import base64
import posixpath
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import HeaderParser
from typing import Final

DPKG: Final = "var/lib/dpkg/status"
DPKG_PARTS: Final = "var/lib/dpkg/status.d/"
# of images without dpkg itself
APK: Final = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
COPYRIGHT: Final = re.compile(r"usr/share/doc/([^/]+)/copyright")
DOC: Final = re.compile(r"usr/share/doc/([^/]+)")
METADATA: Final = re.compile(r"(.*/(?:site|dist)-packages)/[^/]+(?:\.dist-info/METADATA|\.egg-info(?:/PKG-INFO)?)")
MAX_FILE_BYTES: Final = 32 * 2**20
LONGEST_LICENCE_NAME: Final = 100
# some packages have the whole text in that field


@dataclass(frozen=True)
class Package:
    """One installed package. `kind` is its package URL's type; `place` a Python package's folder."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    licences: tuple[str, ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()
    place: str = ""


@dataclass(frozen=True)
class Inventory:
    """An image's distribution, as its os-release has it, and its packages in order."""

    distribution: str
    release: str
    packages: tuple[Package, ...]


@dataclass
class _Files:
    texts: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def read(archive: tarfile.TarFile) -> Inventory:
    """Read a file system's archive, as `docker export` writes it, once from its start to its end."""
    files = _Files()
    for member in archive:
        path = posixpath.normpath(member.name)
        if member.issym() and DOC.fullmatch(path):
            files.links[path] = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
        elif member.isfile() and member.size <= MAX_FILE_BYTES and _wanted(path):
            content = archive.extractfile(member)
            if content is not None:
                files.texts[path] = content.read().decode(errors="replace")
    release = dict(
        re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', "\n".join(files.texts.get(path, "") for path in RELEASE), re.M)
    )
    packages = {*_of_dpkg(files), *_of_apk(files), *_of_python(files)}
    return Inventory(
        release.get("ID", ""),
        release.get("VERSION_ID", ""),
        tuple(sorted(packages, key=lambda one: (one.kind, one.name, one.version, one.architecture, one.place))),
    )


def _wanted(path: str) -> bool:
    kept = path in (DPKG, *APK, *RELEASE) or (path.startswith(DPKG_PARTS) and not path.endswith(".md5sums"))
    return kept or bool(COPYRIGHT.fullmatch(path) or METADATA.fullmatch(path))


def _of_dpkg(files: _Files) -> Iterator[Package]:
    texts = [text for path, text in files.texts.items() if path == DPKG or path.startswith(DPKG_PARTS)]
    for paragraph in re.split(r"\n\s*\n", "\n\n".join(texts)):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", paragraph, re.M))
        # one that was removed, but for its configuration, is listed too; status.d has no such line
        if "Package" in fields and fields.get("Status", "install ok installed").endswith(" installed"):
            name = fields["Package"]
            licences = _dep5(_copyright(files, name))
            yield Package("deb", name, fields.get("Version", ""), fields.get("Architecture", ""), licences)


def _copyright(files: _Files, name: str) -> str:
    folder = f"usr/share/doc/{name}"
    return files.texts.get(f"{files.links.get(folder, folder)}/copyright", "")


def _dep5(text: str) -> tuple[str, ...]:
    """Return the licences that a copyright file names, where it is one for machines."""
    if not text.startswith("Format:"):
        return ()
    return _once(re.findall(r"^License: *(\S.*)$", text, re.M))


def _of_apk(files: _Files) -> Iterator[Package]:
    for path in APK:
        for paragraph in files.texts.get(path, "").split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z]):(.*)$", paragraph, re.M))
            if "P" not in fields:
                continue
            checksum = fields.get("C", "")  # Q1: SHA-1, of the package's control part
            hashes = (("SHA-1", base64.b64decode(checksum[2:]).hex()),) if checksum.startswith("Q1") else ()
            licences = (fields["L"],) if fields.get("L") else ()
            yield Package("apk", fields["P"], fields.get("V", ""), fields.get("A", ""), licences, hashes)


def _of_python(files: _Files) -> Iterator[Package]:
    for path, text in files.texts.items():
        found = METADATA.fullmatch(path)
        if not found:
            continue
        said = HeaderParser().parsestr(text)
        if said["Name"] and said["Version"]:
            name = re.sub(r"[-_.]+", "-", said["Name"]).lower()
            classified = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier", ()) if "License ::" in one]
            free = (said["License"] or "").strip().partition("\n")[0]
            named = said["License-Expression"] or (free if len(free) <= LONGEST_LICENCE_NAME else "")
            licences = (named,) if named and named != "UNKNOWN" else _once(classified)
            yield Package("pypi", name, said["Version"], licences=licences, place=f"/{found[1]}")


def _once(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.strip() for value in values))
