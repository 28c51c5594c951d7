"""Both clients, at a gateway that answers as the platform does."""

import json
import pickle
from io import BytesIO

import httpx
import pytest
from cloudcix_ml import (
    AsyncClient,
    Client,
    ConfigurationError,
    JobFailedError,
    JobStatus,
    SearchFilters,
    WaitTimeoutError,
)
from cloudcix_ml.core.effects import Answer
from cloudcix_ml.core.problems import retry_after_seconds
from cloudcix_ml.errors import AnswerError, CorpusNotFoundError, InvalidKeyError, NotFoundError, TransportError
from cloudcix_ml.models.crawls import CrawlDeleted
from cloudcix_ml.operations.services import clock_skew
from fake_gateway import KEY, FakeGateway, Planned

PAGE = "https://example.com/"
NO_TEXT = "\udcff"
# what Python makes of a byte that is not UTF-8


def test_a_page_is_indexed_and_found(client: Client, gateway: FakeGateway) -> None:
    job = client.index(PAGE, corpus_name="mine", metadata={"team": "a"})
    assert (job.status, job.url) == (JobStatus.COMPLETED, PAGE)
    sent = gateway.received[0]
    assert sent.json == {"url": PAGE, "corpus_name": "mine", "metadata": {"team": "a"}}
    found = client.search("What is it for?", corpus_name="mine", filters=SearchFilters(url_prefix=PAGE))
    assert found.results[0].heading_path == ["Top", "Below"]
    asked = gateway.received[-1].json
    assert asked == {
        "query": "What is it for?",
        "corpus_name": "mine",
        "filters": {"url_prefix": PAGE},
        "max_per_document": 3,
    }


async def test_the_other_client_does_the_same_and_waits_for_nobody_meanwhile(gateway: FakeGateway) -> None:
    gateway.corpus("a")
    async with AsyncClient(gateway.url, KEY) as client:
        job = await client.index(PAGE)
        assert job.status == "completed"
        assert [corpus.name async for corpus in client.corpora.list()] == ["a"]
        assert (await client.search("x")).results
        with pytest.raises(CorpusNotFoundError):
            await client.corpora.get("b")


def test_a_job_that_fails_is_an_error_that_has_it(client: Client, gateway: FakeGateway) -> None:
    gateway.fails_with = "robots_disallowed"
    with pytest.raises(JobFailedError, match="robots_disallowed: it is so") as caught:
        client.index(PAGE)
    assert (caught.value.code, caught.value.job.status) == ("robots_disallowed", JobStatus.FAILED)


def test_a_list_is_gone_through_page_after_page_and_no_further_than_one_goes(
    client: Client, gateway: FakeGateway
) -> None:
    for number in range(7):
        gateway.corpus(f"c{number}")
    assert [one.name for one in client.corpora.list(page_size=3)] == [f"c{number}" for number in range(7)]
    assert [one.query for one in gateway.received] == [
        {"limit": "3"},
        {"limit": "3", "cursor": "3"},
        {"limit": "3", "cursor": "6"},
    ]
    gateway.received.clear()
    walk = client.corpora.list(page_size=3)
    assert next(walk).name == "c0"
    assert len(gateway.received) == 1


def test_a_wait_that_is_over_says_that_the_job_goes_on_and_has_it(client: Client, gateway: FakeGateway) -> None:
    gateway.step_on_read = False
    job = client.jobs.submit(PAGE)
    with pytest.raises(WaitTimeoutError, match=r"has not ended after 0\.05 s; it goes on") as caught:
        client.jobs.wait(job.job_id, timeout_seconds=0.05)
    assert caught.value.subject.status == JobStatus.QUEUED


def test_a_follower_sees_each_change_once(client: Client) -> None:
    job = client.jobs.submit(PAGE)
    seen = [one.status.value for one in client.jobs.follow(job.job_id)]
    assert seen == ["queued", "scraping", "chunking", "embedding", "completed"]


def test_a_batch_is_waited_for(client: Client) -> None:
    accepted = client.batches.submit([PAGE, "https://example.org/"])
    batch = client.batches.wait(accepted.batch_id)
    assert (batch.ended, batch.progress, batch.counts.completed) == (True, 1.0, 2)


def test_a_name_that_this_version_does_not_know_is_kept_as_it_came(client: Client, gateway: FakeGateway) -> None:
    job = client.jobs.submit(PAGE)
    gateway.jobs[job.job_id]["status"] = "resting"
    answer = json.dumps(gateway.jobs[job.job_id] | {"a_new_field": 1}).encode()
    gateway.planned.append(Planned(200, raw=answer))
    seen = client.jobs.get(job.job_id)
    assert (seen.status, seen.status.value, seen.ended) == ("resting", "resting", False)


REMOVALS = [("corpora", ("x",)), ("documents", ("x", "d")), ("webhooks", ("w",)), ("crawls", ("c",))]


@pytest.mark.parametrize(("group", "names"), REMOVALS, ids=[group for group, _ in REMOVALS])
async def test_a_removal_whose_answer_was_lost_ends_as_one_whose_answer_came(
    client: Client, gateway: FakeGateway, group: str, names: tuple[str, ...]
) -> None:
    options = {"documents": "delete"} if group == "crawls" else {}
    async with AsyncClient(gateway.url, KEY) as other:
        lost_and_gone(gateway)
        first = getattr(client, group).delete(*names, **options)
        lost_and_gone(gateway)
        second = await getattr(other, group).delete(*names, **options)
    assert [one.method for one in gateway.received] == ["DELETE"] * 4
    assert first == second == (CrawlDeleted(crawl_id="c", documents="delete") if options else None)


def test_a_crawl_that_is_deleted_without_a_word_of_its_documents_keeps_them(
    client: Client, gateway: FakeGateway
) -> None:
    lost_and_gone(gateway)
    assert client.crawls.delete("c").documents == "keep"
    gateway.planned.append(Planned(404, "crawl_not_found"))
    with pytest.raises(NotFoundError):
        client.crawls.delete("c")


def lost_and_gone(gateway: FakeGateway) -> None:
    """Have the answer to a removal lost on its way, and what it was of be gone when that is asked again."""
    gateway.planned.extend([Planned(502, "upstream_error"), Planned(404, "not_found")])


def test_names_in_a_path_are_data(client: Client, gateway: FakeGateway) -> None:
    for name in ("../jobs", "a/b?c#d", "..", "%2e%2e"):
        with pytest.raises(NotFoundError):
            client.corpora.get(name)
    assert [one.path for one in gateway.received] == [
        "/api/embedding/corpora/..%2Fjobs",
        "/api/embedding/corpora/a%2Fb%3Fc%23d",
        "/api/embedding/corpora/%2E%2E",
        "/api/embedding/corpora/%252e%252e",
    ]


def test_no_text_and_no_copy_of_a_client_has_its_key(gateway: FakeGateway) -> None:
    with Client(gateway.url, KEY) as client:
        assert KEY not in repr(client)
        assert KEY not in repr(vars(client))
        with pytest.raises(TypeError):
            pickle.dumps(client._session)
    document = {"code": "invalid_api_key", "detail": f"no such key: {KEY}", "errors": [{"field": KEY, "message": KEY}]}
    gateway.planned.append(Planned(401, raw=json.dumps(document).encode()))
    with Client(gateway.url, KEY) as client, pytest.raises(InvalidKeyError) as caught:
        client.corpora.get("x")
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.problem)


@pytest.mark.parametrize(
    "url",
    [
        *("", "ml.example.com", "ftp://x", "http://", "http://u:p@x", "http://x/?a=b", "http://x:99999", "http://x/#y"),
        *("http://a..b", "http://.", f"http://{'a' * 64}.b", f"http://{NO_TEXT}", f"http://x/{NO_TEXT}", "http://☃.x"),
    ],
)
def test_an_address_that_can_not_be_right_is_refused_before_anything_is_sent(url: str, monkeypatch) -> None:
    monkeypatch.delenv("CLOUDCIX_ML_URL", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        Client(url, KEY)
    with pytest.raises(ConfigurationError):
        AsyncClient(url, KEY)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_a_key_that_can_not_be_right_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client("http://x", key)
    assert key not in str(caught.value)


def test_address_and_key_come_from_the_environment(gateway: FakeGateway, monkeypatch) -> None:
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url + "/")
    monkeypatch.setenv("CLOUDCIX_ML_KEY", KEY)
    with Client() as client:
        assert list(client.corpora.list()) == []


def test_an_address_where_nobody_is_says_so(free_port) -> None:
    with (
        Client(f"http://127.0.0.1:{free_port}", KEY, patience_seconds=0.02) as client,
        pytest.raises(TransportError, match="no connection"),
    ):
        client.corpora.get("x")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Planned(200, raw=b"<html>"), "none of this API's"),
        (Planned(200, raw=b'{"items": [{}], "next_cursor": null}'), "items.0.name: Field required"),
        (Planned(404, raw=b"<h1>nginx</h1>", headers={"content-type": "text/html"}), "is the address the gateway's"),
        (Planned(301, raw=b"", headers={"location": "https://x/"}), "points to https://x/"),
        (Planned(500, raw=b"[" * 100_000), "is no answer of this API"),
        (Planned(200, raw=b'{"items": []}', headers={"content-encoding": "gzip"}), "not compressed as it says"),
        (Planned(503, raw=b"{}", headers={"content-encoding": "gzip"}), "not compressed as it says"),
    ],
)
async def test_an_answer_of_something_else_says_what_it_was(
    client: Client, gateway: FakeGateway, plan: Planned, said: str
) -> None:
    gateway.planned.extend([plan, plan])
    with pytest.raises(AnswerError, match=said):
        list(client.corpora.list())
    async with AsyncClient(gateway.url, KEY) as other:
        with pytest.raises(AnswerError, match=said):
            [one async for one in other.corpora.list()]


def test_addresses_that_point_to_each_other_are_no_answer(gateway: FakeGateway) -> None:
    to_itself = Planned(302, raw=b"", headers={"location": "/"})
    gateway.planned.extend([to_itself] * 6)
    with (
        httpx.Client(follow_redirects=True, max_redirects=2, trust_env=False) as http,
        pytest.raises(AnswerError, match="one address after the other"),
    ):
        Client(gateway.url, KEY, http=http).corpora.get("x")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.search(NO_TEXT),
        lambda client: client.corpora.get(NO_TEXT),
        lambda client: list(client.jobs.list(host=NO_TEXT)),
        lambda client: client.jobs.submit(PAGE, metadata={"a": [NO_TEXT]}),
        lambda client: client.jobs.submit(PAGE, metadata={"a": object()}),
        lambda client: client.jobs.submit(PAGE, idempotency_key=NO_TEXT),
        lambda client: client.upload(BytesIO(b"x"), name=NO_TEXT),
        lambda client: client.upload(BytesIO(b"x"), name="a.md", url=NO_TEXT),
        lambda client: client.upload(BytesIO(b"x"), name="a.md", content_type=NO_TEXT),
        lambda client: client.corpora.get("x" * 70_000),
    ],
)
def test_what_can_not_be_sent_is_refused_before_anything_is(client: Client, gateway: FakeGateway, call) -> None:
    with pytest.raises(ConfigurationError):
        call(client)
    assert gateway.received == []


def test_a_name_of_letters_that_ascii_has_not_is_sent(client: Client, gateway: FakeGateway) -> None:
    client.jobs.submit(PAGE, idempotency_key="schlüssel")
    assert gateway.received[0].headers["idempotency-key"].encode("latin-1").decode() == "schlüssel"


@pytest.mark.parametrize(
    "date", ["Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "soon", "21 Oct 2015 07:28:00 +9999"]
)
def test_a_time_that_no_calendar_has_is_none(client: Client, date: str) -> None:
    assert retry_after_seconds({"retry-after": date}) is None
    walk = clock_skew(client._session)
    next(walk)
    with pytest.raises(StopIteration) as end:
        walk.send(Answer(200, {"date": date}, b""))
    assert end.value.value is None


def test_an_answer_without_end_is_left(client: Client, gateway: FakeGateway, monkeypatch) -> None:
    from cloudcix_ml.transports import reading

    monkeypatch.setattr(reading, "MOST_BYTES", 1_000)
    gateway.planned.append(Planned(200, raw=b" " * 2_000))
    with pytest.raises(AnswerError, match="more than 1000 bytes"):
        client.corpora.get("x")


def test_health_of_a_service_that_is_not_well_is_an_answer(client: Client, gateway: FakeGateway) -> None:
    gateway.sick["scraper"] = "error"
    assert client.health("scraper").good is False
    assert client.health("embedding").good is True
    assert len(gateway.received) == 2
