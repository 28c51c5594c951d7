"""The stacks laid out for Docker: copies with an `.env` of throwaway secrets, and commands that are run on them in turn."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from stacks.answers import check
from stacks.dotenv import write
from stacks.plan import STACKS, files, settings
from standins.weights import TOKENIZER_SHA256, tokenizer_file

from chores.folders import REPOSITORY

OBSERVE = "../local-dev/docker-compose.observe.yml"
OBSERVED = "../local-dev/docker-compose.observed.yml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# the one in C is several times as fast, and there where PyYAML was made with it
TIMEOUT_SECONDS = 300
BUILD_TIMEOUT_SECONDS = 1_200
KEPT = (
    *("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    "IMAGE_DIGEST",  # empty where images have their tags only
)
# a shell's variables win over an `.env`: only these, and Docker's own, are passed on
LEFT_OUT = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", ".*_cache", ".env", "alloy.env", "build")
ANSWERS = {
    **{name.removesuffix("-vm").upper(): f"10.0.0.{number}" for number, name in enumerate(STACKS, 9)},
    "MEMBERSHIP_URL": "http://10.0.0.5:8000",
    "EMBEDDING_API_BASE_URL": "http://10.0.0.20:8080/v1",
    "TOKENIZER_SHA256": TOKENIZER_SHA256,
}


@dataclass(frozen=True)
class Command:
    """One command, and the stack's folder that it runs in."""

    name: str
    words: tuple[str, ...]
    folder: str
    timeout_seconds: float = TIMEOUT_SECONDS


@contextmanager
def laid_out() -> Iterator[Path]:
    """Copy the stacks, and what they need beside them, to a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ml-stacks-") as name:
        folder = Path(name)
        texts = files(REPOSITORY, settings(check({**ANSWERS, "EMBEDDING_API_KEY": secrets.token_hex(24)})))
        for stack in STACKS:
            shutil.copytree(REPOSITORY / stack, folder / stack, ignore=LEFT_OUT)
            write(folder / stack / ".env", texts[stack])
        for stack in ("chunking", "embedding"):
            (folder / stack / "tokenizer").mkdir(exist_ok=True)
            shutil.copy(tokenizer_file(), folder / stack / "tokenizer" / "tokenizer.json")
        shutil.copytree(REPOSITORY / "ml-shared", folder / "ml-shared", ignore=LEFT_OUT)
        local_dev = folder / "local-dev"
        shutil.copytree(REPOSITORY / "local-dev" / "observe", local_dev / "observe")
        for path in (REPOSITORY / "local-dev").glob("docker-compose*.yml"):
            shutil.copy(path, local_dev)
        yield folder


def compose(*words: str, file: str = "docker-compose.yml") -> tuple[str, ...]:
    """Return a command of Docker Compose for one file."""
    return ("docker", "compose", "-f", file, *words)


def services_of(path: Path) -> dict[str, dict[str, str]]:
    """Return the services of a compose file, merged as YAML has it."""
    found: dict[str, dict[str, str]] = yaml.load(path.read_text().replace("!override", ""), LOADER)["services"]  # noqa: S506 - a safe one
    return found


def run_all(title: str, commands: Iterable[Command], folder: Path) -> int:
    """Run the commands in turn, a line each, and return the exit status: 1 when one failed."""
    print(title, flush=True)
    environment = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("DOCKER_")}
    passed = []
    for command in commands:
        began = time.monotonic()
        status, said = _run(command, folder, environment)
        verdict = "FAILED" if status else "ok"
        print(f"  {command.name:<60}{time.monotonic() - began:>6.1f} s  {verdict}", flush=True)
        if status:
            print(said[-6_000:], flush=True)
        passed.append(status == 0)
    print(f"{passed.count(True)} of {len(passed)} passed")
    return 0 if passed and all(passed) else 1


def _run(command: Command, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command.words,
            cwd=folder / command.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=command.timeout_seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout
