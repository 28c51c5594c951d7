"""A webhook is taken from the platform alone, unchanged, and now."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from cloudcix_ml.errors import ConfigurationError, SignatureError
from cloudcix_ml.webhooks import verify

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests' own").decode()
OLD = "whsec_" + base64.b64encode(b"the one before").decode()
BODY = json.dumps({"type": "job.completed", "data": {"job_id": "j"}}).encode()


def headers(body: bytes = BODY, *, secret: str = SECRET, age: int = 0, message_id: str = "m1") -> dict[str, str]:
    """As the specification has it, written down a second time."""
    at = int(time.time()) - age
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, b"%s.%d.%s" % (message_id.encode(), at, body), hashlib.sha256).digest())
    return {"Webhook-Id": message_id, "Webhook-Timestamp": str(at), "Webhook-Signature": f"v1,{signature.decode()}"}


def test_an_example_of_the_specification_fits() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert verify(body, given, secret, tolerance_seconds=float("inf")) == {"test": 2432232314}


def test_the_event_is_returned() -> None:
    assert verify(BODY, headers(), SECRET)["type"] == "job.completed"
    assert verify(BODY.decode(), headers(), SECRET)["data"] == {"job_id": "j"}


def test_while_a_secret_is_exchanged_both_are_good() -> None:
    assert verify(BODY, headers(secret=OLD), [SECRET, OLD])
    both = headers()
    both["Webhook-Signature"] = f"v2,abc v1,!!! {headers(secret=OLD)['Webhook-Signature']} {both['Webhook-Signature']}"
    assert verify(BODY, both, SECRET)


@pytest.mark.parametrize(
    ("body", "made", "changed"),
    [
        (BODY + b" ", {}, {}),
        (BODY, {"secret": OLD}, {}),
        (BODY, {"age": 301}, {}),
        (BODY, {"age": -400}, {}),
        (BODY, {}, {"Webhook-Id": "m2"}),
        (BODY, {}, {"Webhook-Timestamp": "now"}),
        *((BODY, {}, {"Webhook-Timestamp": given}) for given in ("9" * 400, "9" * 5_000, "1e9", "-1", "+5", "1_0")),
        *((BODY, {}, {"Webhook-Timestamp": given}) for given in ("\u0661\u0662", "²", "\udcff", " ", "nan", "inf")),
        *((BODY, {}, {"Webhook-Id": given}) for given in ("m\udcff", "ÿ", "m" * 100_000)),
        *(
            (BODY, {}, {"Webhook-Signature": given})
            for given in ("v1,ÿ", "v1,\udcff", "\udcff", "v1," + "!" * 9, ",", " ")
        ),
        ("{\udcff}", {}, {}),
        (b"\xff", {"body": b"\xff"}, {}),
        (b"[" * 100_000, {"body": b"[" * 100_000}, {}),
        (BODY, {}, {"Webhook-Signature": "v1,"}),
        (BODY, {}, {"Webhook-Signature": "v1"}),
        (BODY, {}, dict.fromkeys(("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"), "")),
        (b"[]", {"body": b"[]"}, {}),
        (b"{", {"body": b"{"}, {}),
    ],
)
def test_whatever_is_otherwise_is_refused(body: bytes | str, made: dict[str, Any], changed: dict[str, str]) -> None:
    # made here, and not where they are listed: they are of now
    with pytest.raises(SignatureError):
        verify(body, headers(**made) | changed, SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "a secret!", "whsec_ä", "whsec_\udcff", "whsec_abc"])
def test_what_is_no_secret_is_not_one_that_fits_everything(secret: str) -> None:
    for given in (secret, [SECRET, secret]):
        with pytest.raises(ConfigurationError) as caught:
            verify(BODY, headers(), given)
        assert not secret or secret not in str(caught.value) or secret == "whsec_"


def test_no_secret_at_all_is_not_one_that_fits_nothing() -> None:
    with pytest.raises(ConfigurationError):
        verify(BODY, headers(), [])
