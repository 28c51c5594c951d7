"""What every orchestrator does for its workers: one suite, for `FakeOrchestrator` and for the real one.

A test module inherits from `OrchestratorContract` and has a fixture `peer`.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import pytest
from pydantic import SecretStr

from ml_shared.clients.orchestrator import AbandonError, ContentMissingError, OrchestratorClient
from ml_shared.clients.tls import shared_tls
from ml_shared.contracts.jobs import CallbackAnswer, CallbackStatus, ProgressPhase, ProgressReport, StageCallback
from ml_shared.errors import TooLargeError
from ml_shared.names import Header, Stage

PAGE = b'{"content": "# Title"}'


class OrchestratorUnderTest(Protocol):
    """An orchestrator that runs, and the keys of those who call it."""

    @property
    def url(self) -> str:
        """Where it listens."""

    @property
    def scraper_key(self) -> str:
        """The scraper's key."""

    @property
    def embedding_key(self) -> str:
        """The embedding service's key."""

    @property
    def user_key(self) -> str:
        """The valid key of somebody who is no service."""

    @property
    def max_content_bytes(self) -> int:
        """The longest content that it keeps."""

    async def hand_out(self, stage: Stage, job_id: str | None = None) -> tuple[str, str]:
        """Hand out a new job to a stage, or the same one once more; return its id and the attempt's."""

    async def hand_out_with_content(self, body: bytes) -> tuple[str, str, str]:
        """Hand out a new job to the embedding stage, with chunks that are kept; return its id, the attempt's, their ref."""

    async def page_of(self, job_id: str) -> bytes | None:
        """Return what is kept of the page of a job whose scraping has ended."""


def success(attempt_id: str, stage: Stage = Stage.SCRAPING, **fields: Any) -> StageCallback:
    """A callback of an attempt that did its work."""
    return StageCallback(attempt_id=attempt_id, stage=stage, status=CallbackStatus.SUCCESS, **fields)


def report(
    attempt_id: str,
    phase: ProgressPhase = ProgressPhase.STARTED,
    stage: Stage = Stage.SCRAPING,
    start_id: str | None = None,
) -> ProgressReport:
    """A sign of life."""
    return ProgressReport(attempt_id=attempt_id, stage=stage, phase=phase, start_id=start_id)


async def every_route(peer: OrchestratorUnderTest, key: str | None) -> list[httpx.Response]:
    """Call each internal route as a worker of the scraper would, with a job that is its own."""
    job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
    callback = {"attempt_id": attempt_id, "stage": "scraping", "status": "failed", "error_code": "x"}
    started = {"attempt_id": attempt_id, "stage": "scraping", "phase": "started"}
    query = {"job_id": job_id, "attempt_id": attempt_id, "stage": "scraping"}
    headers = {} if key is None else {Header.API_KEY: key}
    async with httpx.AsyncClient(base_url=peer.url, headers=headers, verify=shared_tls(), trust_env=False) as http:
        return [
            await http.post(f"/jobs/{job_id}/progress", json=started),
            await http.put("/content", params=query, content=PAGE),
            await http.get("/content/0", params={"attempt_id": attempt_id}),
            await http.post("/content/0/start", params={"job_id": job_id}, json=started | {"stage": "embedding"}),
            await http.post("/content", params={"job_id": job_id}, content=json.dumps(callback) + "\n"),
            await http.post("/content/reports", content=json.dumps([{"job_id": job_id, "progress": started}]) + "\n"),
            await http.post(f"/jobs/{job_id}/complete", json=callback),
        ]


class OrchestratorContract:
    """Inherit from it, and write a fixture `peer`."""

    @pytest.fixture
    async def scraper(self, peer: OrchestratorUnderTest) -> AsyncIterator[OrchestratorClient]:
        """The orchestrator, as the scraper's worker calls it."""
        async with OrchestratorClient.connect(peer.url, SecretStr(peer.scraper_key)) as client:
            yield client

    @pytest.fixture
    async def embedding(self, peer: OrchestratorUnderTest) -> AsyncIterator[OrchestratorClient]:
        """The orchestrator, as the embedding service's worker calls it."""
        async with OrchestratorClient.connect(peer.url, SecretStr(peer.embedding_key)) as client:
            yield client

    async def test_a_callback_counts_once(self, peer: OrchestratorUnderTest, scraper: OrchestratorClient) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        assert await scraper.complete(job_id, success(attempt_id, content_ref="r")) == CallbackAnswer()
        assert await scraper.complete(job_id, success(attempt_id, content_ref="r")) == CallbackAnswer(duplicate=True)

    async def test_reports_told_together_do_what_each_would_alone(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient, embedding: OrchestratorClient
    ) -> None:
        (first, one), (second, two) = [await peer.hand_out(Stage.SCRAPING) for _ in range(2)]
        with scraper.together():
            leases = await asyncio.gather(scraper.progress(first, report(one)), scraper.progress(second, report(two)))
            told = await asyncio.gather(
                scraper.complete(first, success(one), content=PAGE),
                scraper.complete(second, success(two), content=PAGE * 2),
                scraper.complete(first, success(str(uuid.uuid4()))),
                scraper.complete(str(uuid.uuid4()), success(one)),
            )
        assert all(lease.lease_seconds > 0 for lease in leases)
        stale = CallbackAnswer(stale=True)
        assert list(told) == [CallbackAnswer(), CallbackAnswer(), stale, stale]
        assert await peer.page_of(first) == PAGE
        assert await peer.page_of(second) == PAGE * 2
        handed = [await peer.hand_out_with_content(body) for body in (b"[1]", b"[2, 3]")]
        job_id, _, ref = await peer.hand_out_with_content(b"[4]")
        another = (job_id, str(uuid.uuid4()), ref)
        with embedding.together():
            found = await asyncio.gather(
                *(
                    embedding.start_with_content(job_id, report(attempt, stage=Stage.EMBEDDING), ref)
                    for job_id, attempt, ref in [*handed, another]
                ),
                return_exceptions=True,
            )
        assert found[:2] == [b"[1]", b"[2, 3]"]
        assert isinstance(found[2], AbandonError)

    async def test_a_superseded_attempt_changes_nothing(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        job_id, first = await peer.hand_out(Stage.SCRAPING)
        await scraper.progress(job_id, report(first))
        same, second = await peer.hand_out(Stage.SCRAPING, job_id)
        assert (same, first != second) == (job_id, True)
        assert await scraper.complete(job_id, success(first)) == CallbackAnswer(stale=True)
        for phase in ProgressPhase:
            with pytest.raises(AbandonError):
                await scraper.progress(job_id, report(first, phase))
        with pytest.raises(AbandonError):
            await scraper.put_content(job_id, first, Stage.SCRAPING, PAGE)
        await scraper.progress(job_id, report(second))
        assert await scraper.complete(job_id, success(second)) == CallbackAnswer()

    async def test_a_start_and_every_sign_of_life_are_answered_with_the_lease(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        for phase in ProgressPhase:
            assert (await scraper.progress(job_id, report(attempt_id, phase))).lease_seconds > 0

    async def test_an_attempt_that_ended_is_abandoned(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        for status in CallbackStatus:
            job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
            await scraper.progress(job_id, report(attempt_id))
            ended = StageCallback(
                attempt_id=attempt_id, stage=Stage.SCRAPING, status=status, error_code="fetch_timeout"
            )
            assert await scraper.complete(job_id, ended) == CallbackAnswer()
            with pytest.raises(AbandonError):
                await scraper.progress(job_id, report(attempt_id, ProgressPhase.RUNNING))
            with pytest.raises(AbandonError):
                await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, PAGE)

    async def test_an_attempt_that_starts_too_often_is_abandoned(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        for _ in range(4):
            await scraper.progress(job_id, report(attempt_id))
        with pytest.raises(AbandonError):
            await scraper.progress(job_id, report(attempt_id))
        assert await scraper.complete(job_id, success(attempt_id)) == CallbackAnswer(stale=True)

    async def test_a_start_that_is_said_again_counts_once_a_delivery(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        for delivery in range(4):
            for _ in range(3):
                await scraper.progress(job_id, report(attempt_id, start_id=f"delivery-{delivery}"))
        with pytest.raises(AbandonError):
            await scraper.progress(job_id, report(attempt_id, start_id="delivery-4"))

    @pytest.mark.parametrize("job_id", [str(uuid.UUID(int=7)), "not-an-id-of-ours"])
    async def test_a_job_that_nobody_knows_is_final(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient, job_id: str
    ) -> None:
        attempt_id = str(uuid.uuid4())
        async with httpx.AsyncClient(
            base_url=peer.url, headers={Header.API_KEY: peer.scraper_key}, verify=shared_tls()
        ) as http:
            answer = await http.post(f"/jobs/{job_id}/complete", json=success(attempt_id).model_dump(mode="json"))
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
        with pytest.raises(AbandonError):
            await scraper.progress(job_id, report(attempt_id))
        with pytest.raises(AbandonError):
            await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, PAGE)

    async def test_an_attempt_that_is_none_of_its_own_is_any_other_attempt(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        ref = (await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, PAGE)).content_ref
        for other in (str(uuid.uuid4()), "not-an-id-of-ours"):
            assert await scraper.complete(job_id, success(other)) == CallbackAnswer(stale=True)
            with pytest.raises(AbandonError):
                await scraper.progress(job_id, report(other))
            with pytest.raises(AbandonError):
                await scraper.put_content(job_id, other, Stage.SCRAPING, PAGE)
            with pytest.raises(ContentMissingError):
                await embedding.get_content(ref, other)

    async def test_an_attempt_at_one_stage_is_none_at_another(
        self, peer: OrchestratorUnderTest, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        assert await embedding.complete(job_id, success(attempt_id, Stage.EMBEDDING)) == CallbackAnswer(stale=True)
        with pytest.raises(AbandonError):
            await embedding.progress(job_id, report(attempt_id, stage=Stage.EMBEDDING))

    async def test_content_is_read_as_it_was_put(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        first = await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, b"first")
        second = await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, PAGE)
        assert first.content_ref == second.content_ref
        assert second.sha256 == hashlib.sha256(PAGE).hexdigest()
        assert await embedding.get_content(second.content_ref, attempt_id) == PAGE

    async def test_content_is_read_by_its_own_job_alone(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        _, of_another_job = await peer.hand_out(Stage.SCRAPING)
        ref = (await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, PAGE)).content_ref
        with pytest.raises(ContentMissingError):
            await embedding.get_content(ref, of_another_job)
        with pytest.raises(ContentMissingError):
            await embedding.get_content("0" * 40, attempt_id)
        await scraper.complete(job_id, success(attempt_id, content_ref=ref))
        with pytest.raises(ContentMissingError):
            await embedding.get_content(ref, attempt_id)

    async def test_content_that_comes_with_its_report_is_kept_and_the_report_counts_once(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        assert await scraper.complete(job_id, success(attempt_id), content=PAGE) == CallbackAnswer()
        again = await scraper.complete(job_id, success(attempt_id), content=b"another")
        assert again == CallbackAnswer(duplicate=True)
        assert await peer.page_of(job_id) == PAGE

    async def test_content_with_the_report_of_another_attempt_is_not_kept(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        job_id, first = await peer.hand_out(Stage.SCRAPING)
        _, second = await peer.hand_out(Stage.SCRAPING, job_id)
        for other in (first, str(uuid.uuid4()), "not-an-id-of-ours"):
            assert await scraper.complete(job_id, success(other), content=b"old") == CallbackAnswer(stale=True)
        assert await scraper.complete(job_id, success(second), content=PAGE) == CallbackAnswer()
        assert await scraper.complete(job_id, success(first), content=b"older") == CallbackAnswer(stale=True)
        assert await peer.page_of(job_id) == PAGE

    async def test_content_is_none_of_a_job_that_nobody_knows(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        for job_id in (str(uuid.UUID(int=7)), "not-an-id-of-ours"):
            told = await scraper.complete(job_id, success(str(uuid.uuid4())), content=PAGE)
            assert told == CallbackAnswer(stale=True)

    async def test_a_report_with_content_that_was_damaged_on_its_way_or_is_none_is_refused(
        self, peer: OrchestratorUnderTest
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        line = success(attempt_id).model_dump_json(exclude_none=True).encode()
        headers = {Header.API_KEY: peer.scraper_key, Header.CONTENT_SHA256: hashlib.sha256(PAGE).hexdigest()}
        async with httpx.AsyncClient(base_url=peer.url, headers=headers, verify=shared_tls(), trust_env=False) as http:
            for body in (line + b"\ndamaged" + PAGE, line, b"\n" + PAGE, PAGE, b'{"stage": "scraping"}\n' + PAGE):
                answer = await http.post("/content", params={"job_id": job_id}, content=body)
                assert answer.status_code == 422, body

    async def test_a_start_is_answered_with_the_content_that_it_works_on_and_counts_once_a_delivery(
        self, peer: OrchestratorUnderTest, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id, ref = await peer.hand_out_with_content(PAGE)
        started = report(attempt_id, stage=Stage.EMBEDDING, start_id="first")
        for _ in range(6):
            assert await embedding.start_with_content(job_id, started, ref) == PAGE
        for delivery in range(3):
            again = report(attempt_id, stage=Stage.EMBEDDING, start_id=f"more-{delivery}")
            assert await embedding.start_with_content(job_id, again, ref) == PAGE
        one_too_many = report(attempt_id, stage=Stage.EMBEDDING, start_id="last")
        with pytest.raises(AbandonError):
            await embedding.start_with_content(job_id, one_too_many, ref)

    async def test_a_start_without_its_content_is_a_start(
        self, peer: OrchestratorUnderTest, embedding: OrchestratorClient
    ) -> None:
        job_id, attempt_id, ref = await peer.hand_out_with_content(PAGE)
        _, _, of_another = await peer.hand_out_with_content(b"another's")
        started = report(attempt_id, stage=Stage.EMBEDDING)
        for other in ("0" * 40, of_another):
            assert await embedding.start_with_content(job_id, started, other) is None
        running = report(attempt_id, ProgressPhase.RUNNING, Stage.EMBEDDING)
        assert (await embedding.progress(job_id, running)).lease_seconds > 0
        with pytest.raises(AbandonError):
            await embedding.start_with_content(job_id, report(str(uuid.uuid4()), stage=Stage.EMBEDDING), ref)

    async def test_content_over_the_limit_is_refused(
        self, peer: OrchestratorUnderTest, scraper: OrchestratorClient
    ) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        with pytest.raises(TooLargeError):
            await scraper.put_content(job_id, attempt_id, Stage.SCRAPING, bytes(peer.max_content_bytes + 1))
        with pytest.raises(TooLargeError):
            await scraper.complete(job_id, success(attempt_id), content=bytes(peer.max_content_bytes + 1))

    async def test_a_field_of_a_later_version_is_ignored(self, peer: OrchestratorUnderTest) -> None:
        job_id, attempt_id = await peer.hand_out(Stage.SCRAPING)
        body = report(attempt_id).model_dump(mode="json") | {"a_field_of_a_later_version": 1}
        async with httpx.AsyncClient(
            base_url=peer.url, headers={Header.API_KEY: peer.scraper_key}, verify=shared_tls()
        ) as http:
            assert (await http.post(f"/jobs/{job_id}/progress", json=body)).status_code == 200
            body |= {"phase": "an unknown one"}
            assert (await http.post(f"/jobs/{job_id}/progress", json=body)).status_code == 422

    async def test_nobody_without_a_valid_key_is_heard(self, peer: OrchestratorUnderTest) -> None:
        for key in (None, "a-key-of-nobody"):
            assert [answer.status_code for answer in await every_route(peer, key)] == [401] * 7

    async def test_a_users_key_is_not_enough(self, peer: OrchestratorUnderTest) -> None:
        answers = await every_route(peer, peer.user_key)
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "internal_only")] * 7

    async def test_a_service_reports_of_its_own_stage_and_no_other(self, peer: OrchestratorUnderTest) -> None:
        answers = await every_route(peer, peer.embedding_key)
        [of_several] = json.loads(answers.pop(5).content.partition(b"\n")[0])
        assert (of_several["status"], of_several["body"]["code"]) == (403, "wrong_stage")
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
            (403, "wrong_stage"),
            (403, "internal_only"),
            (404, "content_not_found"),
            (409, "abandon"),
            (403, "internal_only"),
            (403, "wrong_stage"),
        ]
        # what was uploaded a scraper reads, too, and nothing of another attempt
        assert [answer.status_code for answer in await every_route(peer, peer.scraper_key)][2:4] == [404, 403]
