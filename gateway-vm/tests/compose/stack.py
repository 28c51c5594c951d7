"""This folder's stack as its own Docker Compose project, with two small servers beside it that stand for the VMs."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from ml_shared.testing.gateway import most_open_files
from ml_shared.testing.servers import free_port

GATEWAY_FOLDER = Path(__file__).parents[2]
IMAGE = "nginx:1.26-alpine"
SERVICES = {"ORCHESTRATOR": 8000, "SCRAPER": 8001, "CHUNKING": 8002, "EMBEDDING": 8003}
SECONDS = 120
# for one command

VMS = """
services:
  first: &vm
    image: nginx:1.26-alpine
    entrypoint: [nginx, -c, /vm.conf, -g, daemon off;]
    volumes: ["./vm.conf:/vm.conf:ro"]
    hostname: first
    networks: {default: {aliases: [moving]}}
    stop_grace_period: 1s
  second:
    <<: *vm
    hostname: second
    networks: [default]
  nginx:
    depends_on: [first, second]
"""
# answers who it is, whom it sees, and where the request came from
VM_CONF = """
pid /tmp/vm.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_max_body_size 100m;
    server {
        listen 8000; listen 8001; listen 8002; listen 8003;
        location / { return 200 "$hostname $server_port $http_x_forwarded_for $http_x_forwarded_proto"; }
    }
}
"""
FETCH = """
if command -v wget >/dev/null; then exec wget -q -T 3 -O - "http://$1:$2$3"; fi
exec timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"; printf "GET %s HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n" "$3" >&3; cat <&3' - "$@"
"""
# the image's own means: busybox in the alpine one, bash in a Debian one


class Stack:
    """The stack in a folder of its own; `env` is what its `.env` says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"gw-test-{os.getpid()}"
        self.network = f"{self.project}_default"
        self.port = free_port()
        for name in ("nginx", "alloy"):
            shutil.copytree(GATEWAY_FOLDER / name, folder / name)
        for name in ("docker-compose.yml", "docker-compose.tls.yml", "Makefile", "reload.sh"):
            shutil.copy(GATEWAY_FOLDER / name, folder)
        (folder / "vms.yml").write_text(VMS)
        (folder / "vm.conf").write_text(VM_CONF)
        self.env = {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": "docker-compose.yml:vms.yml",
            "HTTP_PORT": str(self.port),
            "NGINX_OPEN_FILES": str(most_open_files()),  # an engine without root has no more
            "ALLOY_OTLP_PORT": str(free_port()),
            "ALLOY_PROFILES_PORT": str(free_port()),
            **{f"GATEWAY_{name}_SERVERS": f"server first:{port};" for name, port in SERVICES.items()},
        }
        self.write()

    def write(self, **changes: str) -> None:
        """Write `.env` with these changes to what the stack began with."""
        lines = {**self.env, **changes}
        (self.folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        own = {"COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
        environment = {name: value for name, value in os.environ.items() if name not in own}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("docker", "compose", *arguments, check=check)

    def up(self) -> None:
        self.compose("up", "-d", "--wait", "--quiet-pull")

    def reload(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("make", "-s", "reload", check=check)

    def down(self) -> None:
        self.write(TLS_CERTIFICATE_DIR=str(self.folder))
        self.compose("down", "-v", "--remove-orphans", "-t", "1", check=False)

    def container(self, service: str) -> str:
        return self.compose("ps", "-aq", service).stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("docker", "inspect", self.container(service)).stdout)[0]
        return found

    def sh(self, service: str, script: str, *, check: bool = True) -> str:
        return self.compose("exec", "-T", service, "sh", "-c", script, check=check).stdout

    def elsewhere(self, network: str, host: str, port: int, path: str) -> subprocess.CompletedProcess[str]:
        """Ask from a container of another network."""
        command = ("docker", "run", "--rm", "--network", network, "--entrypoint", "sh", IMAGE, "-c", FETCH, "sh")
        return self.run(*command, host, str(port), path, check=False)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30)

    def answers(self, path: str, beginning: str) -> None:
        """Wait until a request is answered so: containers of the VMs take a moment."""
        deadline = time.monotonic() + 20
        while not (said := self.get(path).text).startswith(beginning):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)


def missing() -> str | None:
    """Say why no stack can be started here, or nothing."""
    docker = shutil.which("docker")
    if docker is None:
        return "no docker on the PATH: install Docker with its compose plugin"
    for command in (["version"], ["compose", "version"]):
        done = subprocess.run([docker, *command], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            return f"`docker {' '.join(command)}` fails: start the engine ({done.stderr.strip()[:200]})"
    return None
