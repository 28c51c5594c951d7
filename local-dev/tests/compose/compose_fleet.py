"""Five stacks as five VMs: each in a copy of its folder, each reaching the others by published ports only."""

import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compose_engine import EngineError, Stack, docker
from compose_outside import Outside
from stacks.answers import check
from stacks.dotenv import write
from stacks.plan import STACKS, files, settings
from standins.weights import DIMENSIONS, MAX_TOKENS, MODEL_NAME, tokenizer_file

from ml_shared.testing.gateway import most_open_files

REPOSITORY = Path(__file__).resolve().parents[3]
PREFIX = "ml-test"
TAG, NEXT_TAG = "test", "test-next"
HTTP_PORT = int(os.environ.get("COMPOSE_TEST_HTTP_PORT", "80"))
FIRST_PORT = int(os.environ.get("COMPOSE_TEST_PORTS", "23000"))
# offsets from it: the APIs 0…3, a second copy 10…13, Alloy 20…49, what lies outside 50…54
LEFT_OUT = shutil.ignore_patterns(".env", ".venv", ".*_cache", "__pycache__", "*.egg-info", "tests", "backups")
IMAGES = {stack: f"cloudcix/ml-{stack}" for stack in STACKS if stack != "gateway-vm"}
RENDERER_IMAGE = "cloudcix/ml-scraper-renderer"

Say = Callable[[str], None]

# what an hour would be needed for at the defaults happens within seconds
SHORT_LEASES: Mapping[str, Mapping[str, str]] = {
    "orchestrator": {
        "DISPATCH_INTERVAL_SECONDS": "1",
        "RECOVERY_INTERVAL_SECONDS": "1",
        "DISPATCH_TIMEOUT_SECONDS": "6",
        "DISPATCH_LEASE_SECONDS": "10",
        "QUEUE_LEASE_SECONDS": "20",
        "RUN_LEASE_SECONDS": "10",
    },
    "scraper": {"LEASE_RENEW_SECONDS": "3", "FETCH_TIMEOUT_SECONDS": "45", "HOST_DELAY_SECONDS": "0.05"},
    "chunking": {},
    # the model stands beside the five stacks on the same cores; a call given up on would be sent twice
    "embedding": {"LEASE_RENEW_SECONDS": "3", "EMBEDDING_TIMEOUT_SECONDS": "120"},
    "gateway-vm": {},
}


def host_address() -> str:
    """Return this machine's address as containers see it."""
    given = os.environ.get("COMPOSE_TEST_HOST")
    return given or docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}").strip()


def check_free(host: str) -> None:
    """Say which port is in the way before minutes have gone by."""
    ports = [*(FIRST_PORT + offset for offset in (*range(4), *range(10, 14), *range(20, 55)))]
    for address, port in [*((host, port) for port in ports), ("0.0.0.0", HTTP_PORT)]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                variable = "COMPOSE_TEST_HTTP_PORT" if port == HTTP_PORT else "COMPOSE_TEST_PORTS"
                raise EngineError(f"{address}:{port}: {error.strerror}; {variable}=… takes another") from error


@dataclass
class ComposeFleet:
    """The stacks by name, what lies outside, and the users' keys."""

    host: str
    folder: Path
    outside: Outside
    keys: Mapping[str, str]
    secrets: tuple[str, ...]
    stacks: dict[str, Stack]
    say: Say
    more: list[Stack] = field(default_factory=list)

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{HTTP_PORT}"

    def __getitem__(self, name: str) -> Stack:
        return self.stacks[name]

    @property
    def all(self) -> list[Stack]:
        return [*self.stacks.values(), *self.more]

    def port(self, name: str, copy: int = 1) -> int:
        """The published port of a service's API."""
        return FIRST_PORT + list(IMAGES).index(name) + 10 * (copy - 1)

    @contextmanager
    def copy(self, name: str, files: tuple[str, ...] = ("docker-compose.yml",), **variables: str) -> Iterator[Stack]:
        """A second VM of a service, not yet up; removed when the block ends."""
        folder = self.folder / f"{name}-2"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self[name].folder, folder)
        stack = Stack(name, f"{PREFIX}-{name}-2", folder, files)
        moved = {f"{name.upper()}_PORT": str(self.port(name, 2)), **alloy_ports(len(STACKS))}
        stack.set(**moved, **variables)
        self.more.append(stack)
        try:
            yield stack
        finally:
            stack.down()
            self.more.remove(stack)


def alloy_ports(number: int) -> dict[str, str]:
    return {"ALLOY_OTLP_PORT": str(FIRST_PORT + 20 + number), "ALLOY_PROFILES_PORT": str(FIRST_PORT + 30 + number)}


def variables(outside: Outside, endpoint_key: str) -> dict[str, dict[str, str]]:
    """Return what the tests' `.env` files have, by stack."""
    at = {name.upper(): f"{outside.host}:{FIRST_PORT + number}" for number, name in enumerate(IMAGES)}
    answers = check(
        {
            **at,
            "GATEWAY": f"{outside.host}:{HTTP_PORT}",
            "MEMBERSHIP_URL": outside.membership,
            "EMBEDDING_API_BASE_URL": f"{outside.proxied_endpoint}/v1",
            "EMBEDDING_API_KEY": endpoint_key,
            "EMBEDDING_MODEL": MODEL_NAME,
            "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
            "EMBEDDING_MAX_TOKENS": str(MAX_TOKENS),
            "TOKENIZER": str(tokenizer_file()),
            # five stacks on one machine call each other through its bridges, whose addresses are the engine's choice
            "FLEET_ALLOW": "allow 10.0.0.0/8; allow 172.16.0.0/12; allow 192.168.0.0/16;",
        }
    )
    chosen = settings(answers)
    for number, stack in enumerate(STACKS):
        chosen[stack].update(SHORT_LEASES[stack], **alloy_ports(number))
        if stack in IMAGES:
            ours = {"BIND_ADDRESS": outside.host, "GIT_SHA": TAG, "ML_SHARED_CONTEXT": str(REPOSITORY / "ml-shared")}
            chosen[stack].update(ours)
    chosen["scraper"]["ALLOWED_PRIVATE_NETWORKS"] = f"{outside.host}/32"
    chosen["scraper"]["ALLOWED_PORTS"] = f"{outside.site_port},{outside.web_port}"
    chosen["orchestrator"]["WEBHOOK_PRIVATE_NETWORKS"] = f"{outside.host}/32"
    chosen["orchestrator"]["WEBHOOK_PORTS"] = str(outside.web_port)
    chosen["scraper"] |= {"COMPOSE_PROFILES": "renderer", "RENDERER_URL": "unix:///run/renderer/renderer.sock"}
    chosen["gateway-vm"]["NGINX_OPEN_FILES"] = str(most_open_files())  # an engine without root has no more
    return chosen


def lay_out(folder: Path, chosen: Mapping[str, Mapping[str, str]]) -> dict[str, Stack]:
    """Copy each stack's folder, as if it were all that is on its VM, and write its `.env`."""
    texts = files(REPOSITORY, chosen)
    stacks = {}
    for name in STACKS:
        target = folder / name
        shutil.copytree(REPOSITORY / name, target, ignore=LEFT_OUT)
        write(target / ".env", texts[name])
        stacks[name] = Stack(name, f"{PREFIX}-{name}", target)
    for name in ("chunking", "embedding"):
        tokenizer = folder / name / "tokenizer"
        tokenizer.mkdir(exist_ok=True)
        shutil.copyfile(tokenizer_file(), tokenizer / "tokenizer.json")
    return stacks


def new_fleet(folder: Path, say: Say) -> ComposeFleet:
    """Lay a fleet out; nothing runs yet."""
    host = host_address()
    keys = {name: f"ml{secrets.token_hex(24)}" for name in ("user", "other-user")}
    entries = {hashlib.sha256(key.encode()).hexdigest(): {"account_id": name} for name, key in keys.items()}
    endpoint_key = f"ml{secrets.token_hex(24)}"
    write(folder / "membership.json", json.dumps(entries))
    outside = Outside(host, FIRST_PORT + 50, folder, folder / "membership.json", endpoint_key)
    chosen = variables(outside, endpoint_key)
    named = ("SERVICE_API_KEY", "POSTGRES_PASSWORD", "EMBEDDING_API_KEY")
    hidden = (*keys.values(), *(one[name] for one in chosen.values() for name in named if name in one))
    return ComposeFleet(host, folder, outside, keys, hidden, lay_out(folder, chosen), say)


def build(fleet: ComposeFleet) -> None:
    """Build the images, each stack's from its own folder."""
    for name, image in IMAGES.items():
        began = time.monotonic()
        fleet.say(f"building {image}:{TAG}")
        fleet[name].compose("build")
        size = int(docker("image", "inspect", "-f", "{{.Size}}", f"{image}:{TAG}"))
        fleet.say(f"  built in {time.monotonic() - began:.0f} s, {size / 1e6:.0f} MB")


def start(fleet: ComposeFleet) -> None:
    """Bring the stacks up and wait until they are healthy."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(fleet.stacks)) as pool:
        fleet.say(f"starting {len(fleet.stacks)} stacks, each a project of its own")
        pending = {pool.submit(stack.up): stack for stack in fleet.stacks.values()}
        for done in as_completed(pending):
            done.result()
            fleet.say(f"  {pending[done].name} is healthy after {time.monotonic() - began:.0f} s")


def remove(fleet: ComposeFleet) -> None:
    """Remove containers, networks, volumes and the images of the tests."""
    with ThreadPoolExecutor(len(fleet.all)) as pool:
        list(pool.map(Stack.down, fleet.all))
    for image in (*IMAGES.values(), RENDERER_IMAGE):
        for tag in (TAG, NEXT_TAG):
            if docker("images", "--quiet", f"{image}:{tag}"):
                docker("rmi", f"{image}:{tag}")


def keep_logs(fleet: ComposeFleet, folder: Path) -> None:
    """Write what the containers said, a file a stack."""
    folder.mkdir(parents=True, exist_ok=True)
    for stack in fleet.all:
        said = stack.compose("logs", "--no-color", "--timestamps", check=False)
        (folder / f"{stack.project}.log").write_text(said.stdout + said.stderr)
        shown = stack.compose("ps", "--all", check=False)
        (folder / f"{stack.project}.ps").write_text(shown.stdout + shown.stderr)
