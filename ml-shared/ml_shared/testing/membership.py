"""A Membership to test and develop against: stateful, and served over real HTTP."""

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from ml_shared.auth.context import hash_key
from ml_shared.testing.http_server import ServedFake, ThreadedServer

MAX_BODY_BYTES: Final = 65_536
HUGE_BYTES: Final = 10_000_000


class MembershipMode(StrEnum):
    """How the fake behaves."""

    OK = "ok"
    DOWN = "down"  # 503
    SLOW = "slow"  # no answer before `delay_seconds`
    DRIP = "drip"  # an answer that never ends, a byte at a time
    GARBAGE = "garbage"  # 200, but not JSON
    WRONG_TYPES = "wrong_types"  # 200 and JSON, but not what was agreed
    NUMBER = "number"  # 200 and JSON, but 1 for true
    NO_CONTENT = "no_content"  # 204
    HUGE = "huge"  # 200 and far too long
    ENDLESS = "endless"  # 200 and no end, until the caller hangs up
    ENCODED = "encoded"  # 200 and compressed, which nobody asked for
    CUT = "cut"  # 200, and the connection closed in the middle
    REDIRECT = "redirect"  # 307 to `redirect_to`


@dataclass(frozen=True, slots=True)
class Member:
    """What Membership knows of a key."""

    account_id: str | None = None
    tier: str | None = None
    scopes: tuple[str, ...] = ()
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class MembershipCall:
    """One request that arrived. Of the key only its hash is kept, as everywhere."""

    path: str
    key_hash: str | None
    headers: Mapping[str, str]


@dataclass
class MembershipState:
    """Keys, by hash, and how to answer. Shared between the test's thread and the server's."""

    members: dict[str, Member] = field(default_factory=dict)
    mode: MembershipMode = MembershipMode.OK
    delay_seconds: float = 30.0
    calls: list[MembershipCall] = field(default_factory=list)
    keep_calls: bool = True
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)  # on every verdict
    redirect_to: str = "/elsewhere"
    sent_bytes: int = 0  # of endless answers
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def add(self, key: str, account_id: str | None = None, tier: str | None = None, scopes: Sequence[str] = ()) -> None:
        """Make a key valid."""
        self.add_hash(hash_key(key), account_id, tier, scopes)

    def add_hash(
        self, key_hash: str, account_id: str | None = None, tier: str | None = None, scopes: Sequence[str] = ()
    ) -> None:
        """Make a key valid of which only the hash is known."""
        self.members[key_hash] = Member(account_id, tier, tuple(scopes))

    def revoke(self, key: str) -> None:
        """Make a key invalid; it is then answered with `200 {"valid": false}`, one never seen with 401."""
        self.members[hash_key(key)] = Member(revoked=True)


_Send = Callable[[dict[str, Any]], Awaitable[None]]
_Receive = Callable[[], Awaitable[dict[str, Any]]]


def build_membership_app(state: MembershipState) -> Callable[[dict[str, Any], _Receive, _Send], Awaitable[None]]:
    """Return Membership's `POST /auth`, and a `GET /health`, as a plain ASGI application."""

    async def app(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _route(state, scope, receive, send)

    return app


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _route(state: MembershipState, scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
    if (scope["method"], scope["path"]) == ("GET", "/health"):
        await _answer(send, 200, orjson.dumps({"status": "ok"}))
        return
    key = await _presented_key(receive)
    if state.keep_calls:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        state.calls.append(MembershipCall(scope["path"], None if key is None else hash_key(key), headers))
    while not state.gate.is_set():  # noqa: ASYNC110 - it is set from another thread
        await asyncio.sleep(0.005)
    if (scope["method"], scope["path"]) != ("POST", "/auth"):
        await _answer(send, 404, b"{}")
    elif key is None:
        await _answer(send, 400, b"{}")
    elif state.mode is MembershipMode.OK:
        await _judge(state, key, send)
    else:
        await _misbehave(state, receive, send)


async def _presented_key(receive: _Receive) -> str | None:
    body, more = b"", True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        key = orjson.loads(body)["api_key"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


async def _judge(state: MembershipState, key: str, send: _Send) -> None:
    member = state.members.get(hash_key(key))
    if member is None:
        await _answer(send, 401, orjson.dumps({"valid": False}))
        return
    if member.revoked:
        await _answer(send, 200, orjson.dumps({"valid": False}))
        return
    told = {"account_id": member.account_id, "tier": member.tier, "scopes": list(member.scopes) or None}
    answer = {"valid": True, "caller_id": hash_key(key)[:16]}
    answer |= {name: value for name, value in told.items() if value is not None}
    await _answer(send, 200, orjson.dumps(answer), state.headers)


async def _misbehave(state: MembershipState, receive: _Receive, send: _Send) -> None:
    match state.mode:
        case MembershipMode.DOWN:
            await _answer(send, 503, b"<html>down</html>")
        case MembershipMode.SLOW:
            await asyncio.sleep(state.delay_seconds)
            await _answer(send, 200, b'{"valid": true}')
        case MembershipMode.DRIP:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(int(state.delay_seconds / 0.05)):
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b'{"valid": true}'})
        case MembershipMode.GARBAGE:
            await _answer(send, 200, b"<html>valid</html>")
        case MembershipMode.WRONG_TYPES:
            await _answer(send, 200, b'{"valid": "yes", "account_id": {}}')
        case MembershipMode.NUMBER:
            await _answer(send, 200, b'{"valid": 1}')
        case MembershipMode.NO_CONTENT:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        case MembershipMode.HUGE:
            await _answer(send, 200, b'{"valid": true, "x": "' + b"x" * HUGE_BYTES + b'"}')
        case MembershipMode.ENDLESS:
            await _answer_without_end(state, receive, send)
        case MembershipMode.ENCODED:
            await _answer(send, 200, gzip.compress(b'{"valid": true}'), [(b"content-encoding", b"gzip")])
        case MembershipMode.CUT:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]})
            await send({"type": "http.response.body", "body": b'{"valid": true}', "more_body": True})
        case MembershipMode.REDIRECT:
            await _answer(send, 307, b"", [(b"location", state.redirect_to.encode())])


async def _answer_without_end(state: MembershipState, receive: _Receive, send: _Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    hung_up = asyncio.ensure_future(receive())
    piece = b" " * 65_536
    while not hung_up.done():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        state.sent_bytes += len(piece)
        await asyncio.sleep(0)


async def _answer(send: _Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    length = (b"content-length", str(len(body)).encode())
    content_type = (b"content-type", b"application/json")
    await send({"type": "http.response.start", "status": status, "headers": [length, content_type, *headers]})
    await send({"type": "http.response.body", "body": body})


class FakeMembership(ServedFake):
    """Membership on a free port of loopback, until the `with` block ends."""

    def __init__(self) -> None:
        self.state = MembershipState()
        self._server = ThreadedServer(build_membership_app(self.state))
        self.add = self.state.add
        self.revoke = self.state.revoke

    @property
    def url(self) -> str:
        """What `MEMBERSHIP_URL` is to say."""
        return self._server.url

    @property
    def calls(self) -> list[MembershipCall]:
        """Every request that arrived."""
        return self.state.calls

    @property
    def mode(self) -> MembershipMode:
        """How it behaves."""
        return self.state.mode

    @mode.setter
    def mode(self, mode: MembershipMode | str) -> None:
        self.state.mode = MembershipMode(mode)

    def hold(self) -> None:
        """Answer nobody until `release` is called."""
        self.state.gate.clear()

    def release(self) -> None:
        """Answer again."""
        self.state.gate.set()

    def __exit__(self, *ended: Any) -> None:
        self.release()
        super().__exit__(*ended)
