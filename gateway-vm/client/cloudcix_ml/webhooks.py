"""Webhooks of the platform, checked (Standard Webhooks): that it was sent by it, unchanged, and just now.

from cloudcix_ml.webhooks import verify

event = verify(request.body, request.headers, secret)
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloudcix_ml.errors import ConfigurationError, SignatureError

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
TOLERANCE_SECONDS: Final = 300.0
MOST_SIGNATURES: Final = 10
TIMESTAMP_FORM: Final = re.compile("[0-9]{1,15}")
# what int takes besides, and what no clock tells, is none of the platform's


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> dict[str, Any]:
    """Return a webhook's event if it is from the platform.

    Parameters
    ----------
    body
        The request's body as it came: its bytes, not what was parsed of them.
    headers
        The request's headers; how their names are written makes no difference.
    secret
        The endpoint's secret (`whsec_…`), or both while one is exchanged for another.
    tolerance_seconds
        How old or how early it may be.

    Raises
    ------
    SignatureError
        If it was not signed with this secret, was changed on its way, or is too old. Answer it with 400 and go on.
    ConfigurationError
        If the secret is none.
    """
    known = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (known.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and timestamp and signatures):
        raise SignatureError(
            "no webhook: the headers webhook-id, webhook-timestamp and webhook-signature belong to one"
        )
    if not TIMESTAMP_FORM.fullmatch(timestamp):
        raise SignatureError("webhook-timestamp is no number of seconds")
    sent_at = int(timestamp)
    if abs(time.time() - sent_at) > tolerance_seconds:
        raise SignatureError(
            f"sent at another time than now, by more than {tolerance_seconds:g} s: a replay, or a clock"
        )
    try:
        raw = body.encode() if isinstance(body, str) else body
        signed = f"{message_id}.{sent_at}.".encode() + raw
    except UnicodeEncodeError:  # of what a server could not decode halves of pairs are left
        raise SignatureError("an id or a body that is no text is none of the platform's") from None
    secrets = [secret] if isinstance(secret, str) else list(secret or ())
    if not secrets:
        raise ConfigurationError("with which secret? It begins with whsec_")
    expected = [hmac.new(_key_of(one), signed, hashlib.sha256).digest() for one in secrets]
    given = [_signature(one) for one in signatures.split()[:MOST_SIGNATURES]]
    # all with all, whichever fits: how long it takes tells nothing
    fits = [hmac.compare_digest(one, other) for one in expected for other in given if other is not None]
    if not any(fits):
        raise SignatureError("not signed with this secret")
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        raise SignatureError("signed, but no JSON") from None
    if not isinstance(event, dict):
        raise SignatureError("signed, but no event")
    return event


def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.strip().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError("no webhook secret: one begins with whsec_, and was shown when its endpoint was made")
    return key


def _signature(text: str) -> bytes | None:
    version, _, value = text.partition(",")
    if version != "v1":
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
