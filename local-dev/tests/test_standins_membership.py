"""The Membership stand-in, over real HTTP."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from standins.membership import KeysFile, KeysFileError, build_app, read_keys

from ml_shared.auth.context import hash_key
from ml_shared.testing.http_server import ThreadedServer

KEY = "a-key-of-the-demo"


def write(path: Path, content: object, mode: int = 0o600) -> None:
    part = path.with_suffix(".part")
    part.write_text(content if isinstance(content, str) else json.dumps(content))
    part.chmod(mode)
    part.replace(path)


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "membership.json"
    write(path, {hash_key(KEY): {"account_id": "demo", "tier": "gold", "scopes": ["search"]}})
    return path


@pytest.fixture
def client(keys_file: Path) -> Iterator[httpx.Client]:
    server = ThreadedServer(build_app(KeysFile(keys_file)))
    with server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def test_a_listed_key_is_vouched_for_with_what_the_file_says(client: httpx.Client) -> None:
    answer = client.post("/auth", json={"api_key": KEY})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["valid"], told["account_id"], told["tier"], told["scopes"]) == (True, "demo", "gold", ["search"])
    assert KEY not in answer.text


def test_another_key_is_invalid(client: httpx.Client) -> None:
    assert client.post("/auth", json={"api_key": "another"}).status_code == 401
    assert client.get("/health").status_code == 200


def test_a_key_taken_out_of_the_file_is_revoked_without_a_restart(client: httpx.Client, keys_file: Path) -> None:
    assert client.post("/auth", json={"api_key": KEY}).status_code == 200
    write(keys_file, {hash_key("another"): {}})
    assert client.post("/auth", json={"api_key": KEY}).status_code == 401
    assert client.post("/auth", json={"api_key": "another"}).status_code == 200


def test_a_file_that_cannot_be_read_is_an_outage_until_it_can(client: httpx.Client, keys_file: Path) -> None:
    kept = keys_file.rename(keys_file.with_suffix(".kept"))
    assert client.post("/auth", json={"api_key": KEY}).status_code == 503
    kept.rename(keys_file)
    assert client.post("/auth", json={"api_key": KEY}).status_code == 200


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "keys.json", {}, mode=0o640)
    with pytest.raises(KeysFileError, match="chmod 600"):
        read_keys(tmp_path / "keys.json")


@pytest.mark.parametrize("content", [{KEY: {}}, {hash_key(KEY): {"key": KEY}}, f'"{KEY}', [KEY]])
def test_a_key_written_into_the_file_by_mistake_is_refused_and_not_repeated(tmp_path: Path, content: object) -> None:
    write(tmp_path / "keys.json", content)
    with pytest.raises(KeysFileError) as caught:
        read_keys(tmp_path / "keys.json")
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_command_says_when_it_is_ready_and_ends_on_a_signal(keys_file: Path) -> None:
    command = [sys.executable, "-m", "standins.membership", "--port", "0", "--keys", str(keys_file)]
    folder = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert "ready on http://127.0.0.1:" in line
            url = line.split()[-1]
            assert httpx.post(f"{url}/auth", json={"api_key": KEY}, timeout=30).json()["valid"] is True
        finally:
            process.terminate()
        rest = process.stdout.read()
    assert KEY not in line + rest
