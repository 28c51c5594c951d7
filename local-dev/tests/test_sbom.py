"""`make sbom`: what a small file system holds is in its bill, which follows CycloneDX' schema; `tests/compose` has real images."""

import io
import json
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chores import sbom
from chores.bill import ALLOWED, BillError, Image, bill, pinned_hashes
from chores.inventory import Inventory, Package, read
from stacks.plan import STACKS

IMAGE = Image("cloudcix/ml-scraper", "latest", f"sha256:{'a' * 64}", datetime(2026, 11, 28, tzinfo=UTC))
SITE = "venv/lib/python3.12/site-packages"
DEBIAN = {
    "usr/lib/os-release": 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n',
    "var/lib/dpkg/status": (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: libgcc-s1\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 14.2.0-19\n"
    ),
    "usr/share/doc/libc6/copyright": "Format: dep5\n\nFiles: *\nLicense: LGPL-2.1+\n text\n\nFiles: a\nLicense: GPL-2+\n",
    "usr/share/doc/gcc-14-base/copyright": "This is the Debian GNU/Linux prepackaged version of the GNU compiler.\n",
    "var/lib/dpkg/info/libc6.list": "/lib\n",
    f"{SITE}/idna-3.11.dist-info/METADATA": "Name: IDNA\nVersion: 3.11\nLicense-Expression: BSD-3-Clause\n\nText\n",
    f"{SITE}/old_one-1.dist-info/METADATA": (
        "Name: old_one\nVersion: 1\nLicense: UNKNOWN\n"
        "Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved :: BSD License\n"
    ),
    f"{SITE}/long-2.dist-info/METADATA": f"Name: long\nVersion: 2\nLicense: {'All rights ' * 20}\n",
    f"{SITE}/ml_shared-0.3.0.dist-info/METADATA": "Name: ml-shared\nVersion: 0.3.0\n",
    f"{SITE}/broken-9.dist-info/METADATA": "no header at all",
    "usr/lib/python3/dist-packages/idna-3.10.egg-info": "Name: idna\nVersion: 3.10\nLicense: BSD\n",
    "app/app/main.py": "print()\n",
}
ALPINE = {
    "etc/os-release": "ID=alpine\nVERSION_ID=3.21.3\n",
    "lib/apk/db/installed": "C:Q1AAECAwQFBgcICQoLDA0ODxAREhM=\nP:musl\nV:1.2.5-r9\nA:x86_64\nL:MIT\n\nP:busybox\nV:1.37.0-r12\nL:GPL-2.0-only\n\n",
}
DISTROLESS = {
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2025b\nArchitecture: all\n",
    "var/lib/dpkg/status.d/tzdata.md5sums": "Package: no\nVersion: 0\n",
}
PINNED = """\
idna==3.11 \\
    --hash=sha256:{one} \\
    --hash=sha256:{two}
    # via httpx
celery[redis]==5.6.3 ; python_version > '3' \\
    --hash=sha256:{one}
""".format(one="1" * 64, two="2" * 64)


def archive(files: dict[str, str], links: dict[str, str] | None = None) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return written.getvalue()


def inventory(files: dict[str, str]) -> Inventory:
    content = archive(files, {"usr/share/doc/libgcc-s1": "gcc-14-base"})
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|") as streamed:
        return read(streamed)


def components(files: dict[str, str], pinned: str = PINNED) -> dict[str, Any]:
    said = json.loads(bill(IMAGE, inventory(files), pinned_hashes(pinned)))
    return {one["bom-ref"]: one for one in said["components"]}


def licences(component: dict[str, Any]) -> list[str]:
    each = [one.get("license", one) for one in component.get("licenses", ())]
    return sorted(one.get("id") or one.get("name") or one["expression"] for one in each)


def test_a_debian_image_has_its_packages_and_pythons_with_licences() -> None:
    found = components(DEBIAN)
    assert {name: licences(one) for name, one in found.items()} == {
        "distribution": [],
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13": ["GPL-2+", "LGPL-2.1+"],
        "pkg:deb/debian/libgcc-s1@14.2.0-19?arch=amd64&distro=debian-13": [],
        f"pkg:pypi/idna@3.11#/{SITE}": ["BSD-3-Clause"],
        f"pkg:pypi/old-one@1#/{SITE}": ["BSD License", "MIT License"],
        f"pkg:pypi/long@2#/{SITE}": [],
        f"pkg:generic/ml-shared@0.3.0#/{SITE}": [],
        "pkg:pypi/idna@3.10#/usr/lib/python3/dist-packages": ["BSD"],
    }
    assert found["distribution"]["name"] == "debian"


def test_a_package_that_requirements_pin_has_the_hashes_of_what_they_allow_and_one_of_the_system_has_not() -> None:
    found = components(DEBIAN)
    allowed = found[f"pkg:pypi/idna@3.11#/{SITE}"]["externalReferences"]
    assert {(one["comment"], one["hashes"][0]["content"]) for one in allowed} == {
        (ALLOWED, "1" * 64),
        (ALLOWED, "2" * 64),
    }
    assert pinned_hashes(PINNED)["celery", "5.6.3"] == ("1" * 64,)
    assert "externalReferences" not in found["pkg:pypi/idna@3.10#/usr/lib/python3/dist-packages"]


def test_an_alpine_image_has_its_packages_with_the_hashes_that_apk_kept() -> None:
    found = components(ALPINE)
    musl = found["pkg:apk/alpine/musl@1.2.5-r9?arch=x86_64&distro=alpine-3.21.3"]
    assert musl["hashes"] == [{"alg": "SHA-1", "content": bytes(range(20)).hex()}]
    assert licences(musl) == ["MIT"]
    assert "hashes" not in found["pkg:apk/alpine/busybox@1.37.0-r12?distro=alpine-3.21.3"]


def test_an_image_without_a_package_manager_has_what_its_builder_wrote_down() -> None:
    assert set(components(DISTROLESS)) == {
        "distribution",
        "pkg:deb/debian/tzdata@2025b?arch=all&distro=debian-12",
    }


def test_the_same_image_gives_the_same_document_and_says_which_image_it_is() -> None:
    texts = {bill(IMAGE, inventory(DEBIAN), pinned_hashes(PINNED)) for _ in range(2)}
    (text,) = texts
    said = json.loads(text)
    root = said["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("container", "cloudcix/ml-scraper", "latest")
    assert root["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert said["specVersion"] == "1.6"
    (tree,) = (one for one in said["dependencies"] if one["ref"] == root["bom-ref"])
    assert len(tree["dependsOn"]) == len(said["components"])


def test_a_document_that_the_schema_refuses_is_not_written() -> None:
    wrong = Package("apk", "musl", "1", hashes=(("SHA-1", "no hex"),))
    with pytest.raises(BillError, match="cloudcix/ml-scraper"):
        bill(IMAGE, Inventory("alpine", "3", (wrong,)), {})


def test_a_stacks_images_are_named_as_compose_names_them() -> None:
    named = sbom.images(("chunking", "scraper"), {"IMAGE_DIGEST": ""})
    assert named == {
        "cloudcix/ml-chunking:latest": "chunking",
        "grafana/alloy:v1.18.1": "chunking",
        "cloudcix/ml-scraper:latest": "scraper",
        "cloudcix/ml-scraper-renderer:latest": "scraper",
        "redis:7-alpine": "scraper",
    }
    by_digest = sbom.images(STACKS, {"GIT_SHA": "abc1234"})
    assert "cloudcix/ml-embedding:abc1234" in by_digest
    assert [name for name in by_digest if name.startswith("redis:7-alpine@sha256:")]


DOCKER = """#!/bin/sh
case "$*" in
    "create redis"*) echo "no such image: $2" >&2; exit 1;;
    create*) echo c0ffee;;
    "inspect --format"*) echo sha256:{identity};;
    "image inspect"*) echo '[{{"Id": "sha256:{identity}", "Created": "2026-11-28T07:08:09.123456789Z"}}]';;
    export*) cat "{tar}";;
    rm*) echo "$*" >> "{removed}";;
esac
"""


def test_an_image_that_is_missing_fails_the_command_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.tar").write_bytes(archive(DEBIAN))
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(identity="b" * 64, tar=tmp_path / "image.tar", removed=tmp_path / "removed"))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(shutil.which('cat') or '/bin/cat').parent}")
    monkeypatch.setenv("IMAGE_DIGEST", "")
    monkeypatch.delenv("GIT_SHA", raising=False)
    assert sbom.main(["scraper"], tmp_path / "sbom") == 1
    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "sbom").iterdir()}
    assert set(written) == {
        *("cloudcix_ml-scraper.cdx.json", "cloudcix_ml-scraper-renderer.cdx.json", "grafana_alloy.cdx.json")
    }
    said = capsys.readouterr()
    assert "cloudcix_ml-scraper.cdx.json: 8 components" in said.out
    assert "redis:7-alpine: docker create redis:7-alpine true: no such image: redis:7-alpine" in said.err
    assert (tmp_path / "removed").read_text() == "rm --force c0ffee\n" * 3


def test_a_stack_that_is_none_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert sbom.main(["nothing"]) == 1
    assert capsys.readouterr().err.startswith("no stack of ours: nothing; there are orchestrator, ")
