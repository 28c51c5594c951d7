"""The keys and passwords of a local fleet: made at its first start, kept in files that only their owner can read."""

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from ml_shared.names import SERVICE_KEY_PREFIX

USER_KEYS = ("user", "other-user")
# the demo's, and a stranger's for trying what a stranger sees
SERVICE_KEYS = ("orchestrator", "scraper", "embedding")
PASSWORDS = ("endpoint", "postgres", "postgres-vectors", "redis-orch", "redis-scrape", "redis-embed", "webhooks")
KEY_BYTES = 24


class Keys(Mapping[str, str]):
    """The keys by name. Only the names are shown when it is printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys = {name: _read_or_make(folder / name) for name in (*USER_KEYS, *SERVICE_KEYS, *PASSWORDS)}

    def __getitem__(self, name: str) -> str:
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Keys({', '.join(self._keys)})"

    def hash_of(self, name: str) -> str:
        """Return the SHA-256 by which peers know a key."""
        return hashlib.sha256(self[name].encode()).hexdigest()

    def file(self, name: str) -> Path:
        """Return the file that holds one key and nothing else."""
        return self.folder / name


def _read_or_make(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        key = path.read_text().strip()
        if key:
            return key
        path.unlink()  # the process that made it was killed before it wrote it
        return _read_or_make(path)
    with os.fdopen(descriptor, "w") as file:
        prefix = SERVICE_KEY_PREFIX if path.name in SERVICE_KEYS else "ml_"
        key = f"{prefix}{secrets.token_hex(KEY_BYTES)}"
        file.write(key)
    return key
