"""The bill of a real image, and of one of another distribution's kind, names what runs in them."""

import json
import re

from chores.sbom import document
from compose_fleet import IMAGES, TAG, ComposeFleet


def test_a_services_bill_has_every_package_that_its_python_sees_and_its_distributions(fleet: ComposeFleet) -> None:
    image = f"{IMAGES['scraper']}:{TAG}"
    said = json.loads(document(image, "scraper"))
    listed = {(one["name"], one["version"]) for one in said["components"]}
    script = (
        "import importlib.metadata as m; print(*(f'{one.name} {one.version}' for one in m.distributions()), sep='\\n')"
    )
    seen = fleet["scraper"].compose("exec", "-T", "scraper", "/venv/bin/python", "-c", script).stdout.splitlines()
    assert len(seen) > 50
    assert {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in map(str.split, seen)} <= listed
    (libc,) = (one for one in said["components"] if one["name"] == "libc6")
    assert libc["purl"].startswith("pkg:deb/debian/libc6@")
    pinned = [one for one in said["components"] if one.get("externalReferences")]
    assert len(pinned) > 50
    assert said["metadata"]["component"]["name"] == IMAGES["scraper"]
    fleet.say(f"{image}: {len(listed)} components, {len(pinned)} of them with the hashes that requirements.txt allows")


def test_an_image_that_is_not_ours_has_a_bill_too(fleet: ComposeFleet) -> None:
    (redis,) = (one["Config"]["Image"] for name, one in fleet["scraper"].containers().items() if name == "redis-scrape")
    assert len(json.loads(document(redis, "scraper"))["components"]) > 5
