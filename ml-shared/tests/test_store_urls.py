"""Passwords of any character in the URLs of PostgreSQL and Redis: what we make works, what somebody else made wrong is told."""

import asyncio
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
from kombu.utils.url import parse_url as kombu_parts
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url as redis_parts

from ml_shared.settings import ServiceSettings, postgres_dsn
from ml_shared.store_urls import POSTGRES_SCHEMES, REDIS_SCHEMES, StoreUrlError, check_store_url, postgres_url
from ml_shared.store_urls import redis_url as url_of_redis
from ml_shared.testing.binaries import find_redis
from ml_shared.testing.nasty import PRINTABLE, PUNCTUATION
from ml_shared.testing.plugin import require
from ml_shared.testing.postgres_setup import postgres_account
from ml_shared.testing.servers import PostgresServer, RedisServer

NAME = PUNCTUATION.replace(",", "")
EVERY_PLACE = pytest.mark.parametrize("form", ["{}", "{}b", "a{}", "a{}b", "a{0}{0}b", "a{}4"])


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    require(postgres_account)
    server = PostgresServer()
    server.password = PRINTABLE
    with server:
        server.create_role(NAME, PRINTABLE)
        yield server


async def asked(*arguments: Any, **options: Any) -> Any:
    connection = await asyncpg.connect(*arguments, **options, timeout=20)
    try:
        return await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()


async def test_postgres_takes_a_name_and_a_password_of_every_printable_character(postgres: PostgresServer) -> None:
    url = postgres_url("127.0.0.1", postgres.port, "postgres", user=NAME, password=PRINTABLE)
    assert await asked(postgres_dsn(url)) == NAME
    assert await asked(postgres.url) == "postgres"
    wrong = postgres_url("127.0.0.1", postgres.port, "postgres", user=NAME, password=PRINTABLE[1:])
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asked(postgres_dsn(wrong))


async def test_a_url_without_them_takes_them_from_the_environment_as_they_are(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER", NAME)
    monkeypatch.setenv("PGPASSWORD", PRINTABLE)
    assert await asked(postgres_dsn(f"postgresql+asyncpg://127.0.0.1:{postgres.port}/postgres")) == NAME
    assert await asked(postgres.url) == "postgres", "what stands in a URL comes first"


def test_the_one_character_that_the_driver_can_not_send_in_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, user in ((postgres_url("host", 1, "db", user="a,b", password="p"), "ml"), ("postgresql://host/db", "a,b")):
        monkeypatch.setenv("PGUSER", user)
        with pytest.raises(StoreUrlError, match="POSTGRES_USER"):
            postgres_dsn(url)
    monkeypatch.setenv("PGUSER", "a=b")
    assert postgres_dsn("postgresql://host/db")


async def test_redis_takes_a_password_of_every_printable_character() -> None:
    require(find_redis)
    server = RedisServer()
    server.password = PRINTABLE
    with server:
        async with asyncio.timeout(20), Redis.from_url(server.url) as client:
            assert await client.ping()


@EVERY_PLACE
def test_every_driver_reads_back_the_password_that_was_put_in(form: str) -> None:
    for password in map(form.format, PRINTABLE):
        url = url_of_redis("host", 6379, password=password)
        assert check_store_url(url, REDIS_SCHEMES) == url
        assert redis_parts(url) == {"password": password, "host": "host", "port": 6379, "db": 0}
        assert kombu_parts(url)["password"] == password
        user = password.replace(",", ".")
        parts = urlsplit(postgres_dsn(postgres_url("host", 5432, "db", user=user, password=password)))
        assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)
        assert (parts.hostname, parts.port, parts.path) == ("host", 5432, "/db")


def refusal(url: str) -> str:
    try:
        check_store_url(url, REDIS_SCHEMES)
    except StoreUrlError as error:
        return str(error)
    return ""


@EVERY_PLACE
def test_a_raw_password_means_itself_or_is_refused_without_being_repeated(form: str) -> None:
    taken = []
    for character in PRINTABLE:
        password = form.format(character)
        url = f"redis://:{password}@host:6379/0"
        said = refusal(url)
        if said:
            assert "percent-encoded" in said
            assert len(password) < 3 or password not in said
        else:
            taken.append(character)
            assert (redis_parts(url)["password"], redis_parts(url)["host"]) == (password, "host")
            assert kombu_parts(url)["password"] == password
    assert set(ascii_letters + digits) <= set(taken) < set(PRINTABLE), "nothing is refused needlessly"


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://host/db", "postgres://u@host:5432/db", "postgresql+asyncpg://u:p@[::1]:5432/db"),
        *("postgresql://u:p@one:5432,two:5432/db", "postgresql://u:p@host/db?sslmode=disable"),
    ],
)
def test_what_is_right_is_taken_as_it_is(url: str) -> None:
    assert check_store_url(url, POSTGRES_SCHEMES) == url


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://host/db", "host:5432/db", "postgresql:host", "", "postgresql:///db", "postgresql://u:p@:5432/db"),
        *("postgresql://host:/db", "postgresql://host:0/db", "postgresql://host:65536/db", "postgresql://host:x/db"),
        # what looks like a host and a port is the name and the beginning of the password
        *(
            "postgresql://ml:12/3@host:5432/db",
            "postgresql://ml:12?3@host:5432/db",
            "postgresql://ml:12#3@host:5432/db",
        ),
        *("postgresql://u:p@host/db\n", "postgresql://u:p%4@host/db", "postgresql://u:p@host/db#x"),
    ],
)
def test_what_can_not_be_a_url_is_refused(url: str) -> None:
    with pytest.raises(StoreUrlError):
        check_store_url(url, POSTGRES_SCHEMES)


@pytest.mark.parametrize("url", ["redis://:s3cret/word@host:6379/0", "redis://:s3cret#word@host:6379/0", "host:6379"])
def test_a_service_refuses_such_a_url_by_its_variables_name(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://m", REDIS_URL=url)
    (error,) = refused.value.errors()
    assert error["loc"] == ("REDIS_URL",)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("key", [PRINTABLE.strip(), "mlservice_abc", "a b"])
def test_a_key_that_a_header_can_carry_is_taken(key: str) -> None:
    settings = ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://m", SERVICE_API_KEY=key)
    assert settings.SERVICE_API_KEY
    assert settings.SERVICE_API_KEY.get_secret_value() == key


@pytest.mark.parametrize("key", ["s3cret\nx", " s3cret", "s3cret ", "s3crét", "s3cret\x7f", "s3cret\tx"])
def test_a_key_that_no_header_can_carry_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ValidationError, match="printable ASCII") as refused:
        ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://m", SERVICE_API_KEY=key)
    assert "s3cr" not in str(refused.value)
