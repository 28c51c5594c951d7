"""Writes what is in each image: `python -m chores.sbom [STACK …]`, behind `make sbom`.

A CycloneDX document an image, in `sbom/`: our images as `make images` built them, and those that the stacks' compose files name.
An image's file system is read through the engine; nothing of it runs.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from stacks.plan import STACKS

from chores.bill import Image, bill, pinned_hashes
from chores.containers import services_of
from chores.folders import LOCAL_DEV, REPOSITORY
from chores.inventory import read

OUTPUT = LOCAL_DEV / "sbom"
TIMEOUT_SECONDS = 600
# an image that is not here yet is pulled first
VARIABLE = re.compile(r"\$\{(\w+)(:?-)([^}]*)\}")


class ImageError(RuntimeError):
    """The engine could not give an image's file system."""


def images(stacks: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the images of some stacks, as Compose resolves their names, each with the first stack that names it."""

    def value(one: re.Match[str]) -> str:
        given = environment.get(one[1])
        return one[3] if given is None or (not given and one[2] == ":-") else given

    found: dict[str, str] = {}
    for stack in stacks:
        for service in services_of(REPOSITORY / stack / "docker-compose.yml").values():
            found.setdefault(VARIABLE.sub(value, service["image"]), stack)
    return found


def document(reference: str, stack: str) -> str:
    """Return the bill of an image."""
    container = _docker("create", reference, "true").strip()
    try:
        identity = _docker("inspect", "--format", "{{.Image}}", container).strip()
        (said,) = json.loads(_docker("image", "inspect", identity))
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as exported:
            if exported.stdout is None:
                raise ImageError("docker export gave no output")
            with tarfile.open(fileobj=exported.stdout, mode="r|") as archive:
                inventory = read(archive)
            exported.stdout.read()  # what pads it; left unread, the export would fail
        if exported.returncode:
            raise ImageError(f"docker export {reference} ended with {exported.returncode}")
    finally:
        _docker("rm", "--force", container)
    name, _, tag = reference.partition("@")[0].rpartition(":")
    # the engine writes nanoseconds
    created = datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", said["Created"]))
    requirements = REPOSITORY / stack / "requirements.txt"
    pinned = pinned_hashes(requirements.read_text()) if name == f"cloudcix/ml-{stack}" else {}
    return bill(Image(name, tag, said["Id"], created), inventory, pinned)


def _docker(*words: str) -> str:
    done = subprocess.run(
        ["docker", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise ImageError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def main(arguments: list[str], output: Path = OUTPUT) -> int:
    """Write the bills and return the exit status."""
    if unknown := sorted(set(arguments) - set(STACKS)):
        print(f"no stack of ours: {', '.join(unknown)}; there are {', '.join(STACKS)}", file=sys.stderr)
        return 1
    chosen = tuple(stack for stack in STACKS if not arguments or stack in arguments)
    output.mkdir(exist_ok=True)
    missing = []
    for reference, stack in images(chosen, os.environ).items():
        target = output / f"{_file_name(reference)}.cdx.json"
        try:
            text = document(reference, stack)
        except ImageError as error:
            missing.append(reference)
            print(f"  {reference}: {error}", file=sys.stderr)
            continue
        target.write_text(text)
        print(f"  {target.name}: {len(json.loads(text)['components'])} components", flush=True)
    if missing:
        print("`make images` builds what is ours; the others are pulled.", file=sys.stderr)
    return 1 if missing else 0


def _file_name(reference: str) -> str:
    return reference.partition("@")[0].rpartition(":")[0].replace("/", "_")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
