"""`docker` and `docker compose`, run as an operator runs them: in a stack's folder, with nothing but its `.env`."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.dotenv import fill

KEPT = (
    *("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    "IMAGE_DIGEST",  # empty where images have their tags only
)
TIMEOUT_SECONDS = 600
# the longest is a build that installs a browser
LAST_LINES = 40


class EngineError(RuntimeError):
    """A command failed; its text is the end of what it said."""


def environment() -> dict[str, str]:
    """A shell's variables win over an `.env`, so those of ours must not be there."""
    return {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(("DOCKER_", "BUILD"))}


def engine_missing() -> str | None:
    """Return why these tests cannot run here, and what to do about it."""
    remedy = "start Docker (with its compose plugin), or name a running engine with DOCKER_HOST"
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"`{' '.join(command)}` does not run ({error}): {remedy}"
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            return f"`{' '.join(command)}` fails ({said[-1] if said else 'no output'}): {remedy}"
    return None


def run(
    *command: str, cwd: Path | None = None, check: bool = True, alone: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command. `alone`: Ctrl-C does not reach it."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        start_new_session=alone,
    )
    if check and done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise EngineError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done


def docker(*arguments: str) -> str:
    return run("docker", *arguments).stdout


@dataclass(frozen=True)
class Stack:
    """One stack in a folder of its own, as on a VM of its own: `name` is its folder's in the repository."""

    name: str
    project: str
    folder: Path
    files: tuple[str, ...] = ("docker-compose.yml",)

    def compose(self, *arguments: str, check: bool = True, alone: bool = False) -> subprocess.CompletedProcess[str]:
        chosen = [word for file in self.files for word in ("-f", file)]
        command = ("docker", "compose", "-p", self.project, *chosen, *arguments)
        return run(*command, cwd=self.folder, check=check, alone=alone)

    def up(self, *arguments: str) -> None:
        """Bring it up and wait until it is healthy."""
        self.compose("up", "-d", "--wait", "--wait-timeout", "150", *arguments)

    def down(self) -> None:
        """Remove everything of it, its data included."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False, alone=True)

    def set(self, **variables: str) -> None:
        """Change its `.env`, which counts from the next `up` on."""
        file = self.folder / ".env"
        file.write_text(fill(file.read_text(), variables))

    def services(self) -> list[str]:
        return self.compose("config", "--services").stdout.split()

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of its containers, by service."""
        label = "com.docker.compose"
        ids = docker("ps", "--all", "--quiet", "--filter", f"label={label}.project={self.project}").split()
        found = json.loads(docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"][f"{label}.service"]: one for one in found}

    def sql(self, service: str, statement: str) -> list[list[str]]:
        """Run a statement in a database's container and return its rows."""
        # over TCP and with the password, so that neither the socket's place nor the image's trust in it matters
        script = (
            'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" '
            '-v ON_ERROR_STOP=1 -AtF "|" -c "$1"'
        )
        said = self.compose("exec", "-T", service, "sh", "-c", script, "sh", statement).stdout
        return [line.split("|") for line in said.splitlines()]
