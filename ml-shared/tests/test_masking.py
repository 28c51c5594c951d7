"""What is masked in log lines and in the audit trail, and what is not."""

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ml_shared.telemetry.logs import configure_logging
from ml_shared.telemetry.masking import MASK, is_secret_name, mask_secrets, masked
from ml_shared.testing.pace import processor_time

SECRET = "correct-horse-battery-staple"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SHAPES = [
    JWT,
    "sk-proj-0123456789abcdefABCDEF",
    "sk_live_0123456789abcdefABCDEF",
    "ghp_" + "a1B2" * 9,
    "hf_" + "aBcD" * 9,
    "xoxb-0123456789-abcdef",
    "AIza" + "a1_B" * 9,
    "AKIAIOSFODNN7EXAMPLE",
    "whsec_" + "MfKQ9r8GKYqrTwjU" * 2,
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\nMIIB\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize(
    "text",
    [
        f"X-API-Key: {SECRET}",
        f"headers: {{'x-api-key': '{SECRET}', 'accept': '*/*'}}",
        f'{{"X-API-Key": "{SECRET}"}}',
        f'{{\\"api_key\\": \\"{SECRET}\\"}}',
        f"[(b'x-api-key', b'{SECRET}')]",
        f"SERVICE_API_KEY={SECRET}",
        f"apiKey: {SECRET}",
        f"WEBHOOK_SECRET_KEY => {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"'authorization': 'Basic {SECRET}'",
        f"authorization: ApiKey {SECRET}",
        f"Authorization: token {SECRET}",
        f"a stray bearer {SECRET} somewhere",
        f"refresh_token={SECRET}",
        f'"accessToken": "{SECRET}"',
        f"POSTGRES_PASSWORD='{SECRET} and more {SECRET}'",
        f"webhook secret={SECRET}",
        f"webhook-signature: v1,{SECRET}",
        f"Cookie: theme=dark; session={SECRET}; lang=en",
        f"{{'set-cookie': 'session={SECRET}; Path=/'}}",
        f"(b'cookie', b'theme=dark; session={SECRET}')",
        f"redis://:{SECRET}@redis:6379/0",
        f"redis://:p@{SECRET}@redis:6379/0",
        f"postgresql+asyncpg://user:{SECRET}@db/ml",
        f"https://bucket.s3.amazonaws.com/object?X-Amz-Expires=60&X-Amz-Signature={SECRET}&x=1",
        f"https://storage.googleapis.com/bucket/object?X-Goog-Signature={SECRET}",
        f"https://account.blob.core.windows.net/object?sv=2024&sig={SECRET}",
        f"https://cdn.example.com/object?Signature={SECRET}&Key-Pair-Id=K",
        f"https://maps.example.com/?key={SECRET}",
        f"https://example.com/?access_token={SECRET}#top",
        *SHAPES,
        *(f"it said {shape!r} and left" for shape in SHAPES),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_masking_again_changes_nothing(text: str) -> None:
    said = mask_secrets(text)
    assert MASK in said
    assert not any(secret in said for secret in (SECRET, *SHAPES))
    assert mask_secrets(said) == said


@pytest.mark.parametrize(
    "text",
    [
        hashlib.sha256(b"a caller's key").hexdigest(),
        f"owner key:{hashlib.sha256(b'a caller').hexdigest()} was served",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 job_id=01890a5d-ac96-774b-bcce-b302099a8057",
        "https://example.com/monkey?page=2&keyword=signal&design=4&key#keys",
        "https://example.com/@someone/post, write to someone@example.com",
        "token_count: 512, max_tokens=512, token_total=3, tokens: 5, tokenizer=bge, token_ids=[1]",
        '{"primary_key": 12, "keyboard": "qwerty", "monkey": "x", "key": "lane"}',
        "the key of the lane is example.com:8080",
        "it needs a password, a secret, a token, and a cookie",
        "idempotency_key_reused key_hash=ab12 author=someone authority: x",
        "ask-someone-else-about-number-1 risk-assessment-of-2026-01 sk-SK Asia/Tokyo",
        'RateLimit: "fair-share";r=50;t=30',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


@pytest.mark.parametrize("name", ["x-api-key", "apiKey", "SERVICE_API_KEY", "Set-Cookie", "token", "client_secret"])
def test_what_stands_under_the_name_of_a_secret_is_masked_whatever_it_is(name: str) -> None:
    assert is_secret_name(name)
    assert masked({"a": [{name: ["x", 1]}], name.encode(): 5}) == {"a": [{name: MASK}], name: MASK}
    assert masked({name: None}) == {name: None}


@pytest.mark.parametrize("name", ["token_count", "max_tokens", "tokenizer", "monkey", "key_hash", "corpus_name", "key"])
def test_the_names_of_ordinary_things_are_none_of_a_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_a_structure_that_contains_itself_and_a_value_without_text_are_no_trouble() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError("no text")

    circle: dict[str, Any] = {"password": SECRET}
    circle["again"] = circle
    assert SECRET not in json.dumps(masked(circle))
    assert masked([Unprintable()]) == ["<unprintable Unprintable>"]


@pytest.mark.parametrize(
    "unit", ["a", "token ", "key=\\", "cookie: ", "sk-", "://", "a.b+c-", "eyJ", "secret'", "-----BEGIN PRIVATE KEY"]
)
def test_no_text_takes_more_than_time_that_grows_with_its_length(unit: str) -> None:
    # a hundred times what it takes here, and a hundredth of what a quadratic pattern would
    text = (unit * 100_000)[:100_000] + "@key"
    with processor_time() as spent:
        mask_secrets(text)
    assert spent.seconds < 5


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the process logs."""
    root = logging.getLogger()
    level = root.level
    written = io.StringIO()
    configure_logging(service="scraper", stream=written)
    yield written
    for handler in [known for known in root.handlers if known.get_name() == "ml_shared"]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


def test_every_part_of_a_log_line_is_masked_and_the_line_stays_json(stream: io.StringIO) -> None:
    logger = logging.getLogger("somewhere")
    logger.info("call with %s to %s", {"X-API-Key": SECRET}, f"https://a.example/?X-Amz-Signature={SECRET}")
    logger.info("call", extra={"headers": {"cookie": SECRET, "list": [f"Bearer {SECRET}"]}, "api_key": None})
    logger.warning("where", stack_info=True, extra={"password": SECRET, "url": f"https://u:{SECRET}@a.example"})
    try:
        try:
            raise KeyError(f"token={SECRET}")
        except KeyError as error:
            raise RuntimeError(f"redis://:{SECRET}@host/0 refused {JWT}") from error
    except RuntimeError:
        logger.exception("it broke")
    assert SECRET not in stream.getvalue()
    assert JWT not in stream.getvalue()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["INFO", "INFO", "WARNING", "ERROR"]
    assert "test_every_part" in lines[2]["stack_info"]
    assert "KeyError" in lines[3]["exc_info"]
    assert "RuntimeError" in lines[3]["exc_info"]
