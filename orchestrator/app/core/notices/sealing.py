"""Secrets of webhooks as the database keeps them: sealed with a key that is not in it."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from app.core.errors import SecretUnreadableError

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - of every secret
SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12


def make_secret() -> str:
    """Return a new secret, in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


class Sealer:
    """Seals with the first of some keys, and opens what any of them sealed: so that a key can be changed.

    AES-256-GCM under the SHA-256 of a key; whose secret it is, and of which endpoint, is sealed with it, so that a row
    that is copied to another owner opens nothing.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._ciphers = [AESGCM(hashlib.sha256(key.get_secret_value().encode()).digest()) for key in keys]

    def seal(self, owner: str, webhook_id: UUID, secret: str) -> bytes:
        """Return a secret as it may be kept."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret.encode(), _whose(owner, webhook_id))

    def open(self, owner: str, webhook_id: UUID, sealed: bytes) -> str:
        """Return what was sealed.

        Raises
        ------
        SecretUnreadableError
            If none of the keys opens it.
        """
        for cipher in self._ciphers:
            try:
                opened = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _whose(owner, webhook_id))
            except InvalidTag:
                continue
            return opened.decode()
        raise SecretUnreadableError


def _whose(owner: str, webhook_id: UUID) -> bytes:
    return f"{owner}\n{webhook_id}".encode()
