"""Membership for development: vouches for the API keys of a file.

    python -m standins.membership --host 127.0.0.1 --port 8091 --keys .state/keys/membership.json

The file is JSON, readable by its owner alone, and holds hashes, not keys: `{"<SHA-256 of a key>": {"account_id": …,
"tier": …, "scopes": […]}}`, each of the three optional. It is read again when it changes, so a key is revoked by taking
its line out.
"""

import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from ml_shared.settings import HEX_SHA256
from ml_shared.testing.membership import Member, MembershipMode, MembershipState, build_membership_app
from standins.serving import arguments_of, serve

KeyHash = Annotated[str, StringConstraints(pattern=HEX_SHA256)]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class KeysFileError(RuntimeError):
    """The file of keys can't be used. Its text never holds what stands in the file."""


class KeyEntry(BaseModel):
    """What Membership knows of one key."""

    model_config = ConfigDict(extra="forbid")

    account_id: str | None = None
    tier: str | None = None
    scopes: list[str] = []


_ENTRIES = TypeAdapter(dict[KeyHash, KeyEntry])


def read_keys(path: Path) -> dict[str, Member]:
    """Read the file of keys.

    Raises
    ------
    KeysFileError
        If it is missing, open to others, or not of the form above.
    """
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise KeysFileError(f"{path}: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise KeysFileError(f"{path} is open to others (mode {stat.S_IMODE(mode):o}); chmod 600 closes it")
    try:
        entries = _ENTRIES.validate_json(content)
    except ValidationError:
        # not chained: pydantic's error repeats what was in the file, which may be a key written there by mistake
        message = f'{path} is not of the form {{"<SHA-256>": {{"account_id": …, "tier": …, "scopes": […]}}}}'
        raise KeysFileError(message) from None
    return {digest: Member(one.account_id, one.tier, tuple(one.scopes)) for digest, one in entries.items()}


class KeysFile:
    """The file, and what it said when it was last read.

    Raises
    ------
    KeysFileError
        As `read_keys`, when the file can't be used at the start. Later that is an outage, until it can be again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self.state = MembershipState(members=read_keys(path), keep_calls=False)

    def refresh(self) -> None:
        """Read the file if it is another one than before."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self.state.members = read_keys(self._path)
                self._stamp = stamp
                self.state.mode = MembershipMode.OK
        except (OSError, KeysFileError) as error:
            # an outage, not a refusal: "no such key" would be believed of keys that are good
            print(f"keys can't be read: {error}", file=sys.stderr, flush=True)
            self._stamp = None
            self.state.mode = MembershipMode.DOWN


def build_app(keys: KeysFile) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """Build the ASGI application: `POST /auth` and `GET /health`."""
    membership = build_membership_app(keys.state)

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            keys.refresh()
        await membership(scope, receive, send)

    return app


def main() -> int:
    """Serve until a signal ends it."""
    parser = arguments_of("standins.membership", __doc__)
    parser.add_argument("--keys", type=Path, required=True, help="the file of keys, mode 600")
    arguments = parser.parse_args()
    try:
        keys = KeysFile(arguments.keys)
    except KeysFileError as error:
        print(error, file=sys.stderr)
        return 1
    return serve(
        build_app(keys), f"Membership stand-in ({len(keys.state.members)} keys)", arguments.host, arguments.port
    )


if __name__ == "__main__":
    sys.exit(main())
