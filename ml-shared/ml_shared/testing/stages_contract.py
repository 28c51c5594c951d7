"""What every service that runs a stage does for the orchestrator: one suite for the fakes and for the real services.

A test module inherits from `ScraperContract`, `EmbeddingContract` or `ChunkingContract` and has a fixture `peer`.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

import httpx
import pytest
from pydantic import SecretStr

from ml_shared.clients.stages import (
    ChunkingClient,
    EmbeddingClient,
    ScraperClient,
    StageRejectedError,
    StageUnavailableError,
)
from ml_shared.clients.tls import shared_tls
from ml_shared.contracts.chunking import ChunkRequest
from ml_shared.contracts.embedding import Document, EmbedHandOut, EnqueueEmbed, EnqueueEmbeds
from ml_shared.contracts.scraping import EnqueueScrape, EnqueueScrapes, ScrapeHandOut
from ml_shared.names import Header

URL = "http://site.test/page"
TEXT = "# Ä title 👍🏽\n\nSome words of plain prose. And a second sentence, which is longer.\n\n" * 20


class StageUnderTest(Protocol):
    """A service that runs, and the keys of those who call it."""

    @property
    def url(self) -> str:
        """Where it listens."""

    @property
    def orchestrator_key(self) -> str:
        """The orchestrator's key."""

    @property
    def user_key(self) -> str:
        """The valid key of somebody who is no service."""


class QueueUnderTest(StageUnderTest, Protocol):
    """A service with a queue."""

    def full(self) -> AbstractAsyncContextManager[None]:
        """Let the queue take nothing within the block."""

    async def wipe(self) -> None:
        """Lose the queue, as a Redis that is emptied does."""


def stage_fields(**changes: Any) -> dict[str, Any]:
    """What the orchestrator sends with every hand-out."""
    now = datetime.now(UTC)
    hand_out = {"job_id": str(uuid.uuid4()), "attempt_id": str(uuid.uuid4()), "owner": "key:a"}
    return hand_out | {"as_of": now, "submitted_at": now} | changes


def raw(peer: StageUnderTest, key: str | None) -> httpx.AsyncClient:
    """A client that sends what it is told."""
    headers = {} if key is None else {Header.API_KEY: key}
    return httpx.AsyncClient(base_url=peer.url, headers=headers, verify=shared_tls(), trust_env=False, timeout=20)


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


class _QueueContract(ABC):
    client_type: ClassVar[type[ScraperClient] | type[EmbeddingClient]]

    @abstractmethod
    def request(self, **fields: Any) -> Any:
        """Return a hand-out of this stage."""

    @abstractmethod
    def several(self, hand_outs: list[dict[str, Any]]) -> Any:
        """Return several hand-outs of this stage."""

    @abstractmethod
    def users_body(self) -> dict[str, Any]:
        """Return what a user may send to the same route."""

    @pytest.fixture
    async def stage(self, peer: QueueUnderTest) -> AsyncIterator[Any]:
        """The service, as the orchestrator calls it."""
        async with self.client_type.open(peer.url, SecretStr(peer.orchestrator_key)) as opened:
            yield opened

    async def test_a_hand_out_is_queued_under_its_job(self, stage: Any) -> None:
        first, second = self.request(**stage_fields()), self.request(**stage_fields())
        answers = [await stage.enqueue(first), await stage.enqueue(second)]
        assert [answer.job_id for answer in answers] == [first.job_id, second.job_id]
        assert {answer.status for answer in answers} == {"queued"}
        assert answers[0].task_id != answers[1].task_id
        assert answers[0].queue_epoch == answers[1].queue_epoch is not None

    async def test_several_hand_outs_are_queued_each_under_its_job(self, peer: QueueUnderTest, stage: Any) -> None:
        asked = self.several([stage_fields(alone=True), stage_fields(traceparent=f"00-{'a' * 32}-{'b' * 16}-01")])
        answers = await stage.enqueue_several(asked)
        assert [answer.job_id for answer in answers] == [each.job_id for each in asked.hand_outs]
        assert len({answer.task_id for answer in answers}) == 2  # those that need not go alone may share one
        assert {answer.queue_epoch for answer in answers} == {
            (await stage.enqueue(self.request(**stage_fields()))).queue_epoch
        }

    async def test_a_full_queue_says_so_of_each_of_several(self, peer: QueueUnderTest, stage: Any) -> None:
        asked = self.several([stage_fields(), stage_fields()])
        async with peer.full():
            refused = await stage.enqueue_several(asked)
        assert [type(each) for each in refused] == [StageUnavailableError] * 2
        assert {each.retry_after_seconds for each in refused} == {30}
        assert [answer.status for answer in await stage.enqueue_several(asked)] == ["queued"] * 2

    async def test_several_of_which_one_is_wrong_are_to_be_handed_out_one_by_one(self, stage: Any) -> None:
        right, wrong = self.several([stage_fields(), stage_fields()]).hand_outs
        wrong = wrong.model_copy(update={"job_id": "no id at all"})
        several = type(self.several([stage_fields()])).model_construct(hand_outs=[right, wrong])
        assert await stage.enqueue_several(several) is None

    async def test_nobody_but_the_orchestrator_hands_out_several(self, peer: QueueUnderTest) -> None:
        body = self.several([stage_fields()]).model_dump(mode="json")
        async with raw(peer, peer.user_key) as http:
            answer = await http.post("/enqueue/batch", json=body)
            assert problem(answer) == (403, "internal_only")

    async def test_a_queue_that_was_lost_has_another_epoch(self, peer: QueueUnderTest, stage: Any) -> None:
        before = await stage.enqueue(self.request(**stage_fields()))
        await peer.wipe()
        after = await stage.enqueue(self.request(**stage_fields()))
        assert before.queue_epoch != after.queue_epoch is not None

    async def test_a_full_queue_says_when_to_come_back(self, peer: QueueUnderTest, stage: Any) -> None:
        async with peer.full():
            with pytest.raises(StageUnavailableError, match="429 queue_full") as refused:
                await stage.enqueue(self.request(**stage_fields()))
        assert refused.value.retry_after_seconds == 30
        await stage.enqueue(self.request(**stage_fields()))

    async def test_a_hand_out_that_lacks_a_part_is_rejected(self, stage: Any) -> None:
        for missing in ("attempt_id", "owner"):
            with pytest.raises(StageRejectedError, match=missing) as rejected:
                await stage.enqueue(self.request(**stage_fields(**{missing: None})))
            assert rejected.value.code == "incomplete_hand_out"

    async def test_a_request_that_does_not_fit_the_contract_is_rejected(self, stage: Any) -> None:
        wrong = self.request(**stage_fields()).model_copy(update={"job_id": "no id at all"})
        with pytest.raises(StageRejectedError) as rejected:
            await stage.enqueue(wrong)
        assert rejected.value.code == "invalid_request"

    async def test_a_field_of_a_later_version_is_ignored(self, peer: QueueUnderTest) -> None:
        body = self.request(**stage_fields()).model_dump(mode="json") | {"a_field_of_a_later_version": 1}
        async with raw(peer, peer.orchestrator_key) as http:
            assert (await http.post("/enqueue", json=body)).status_code == 202

    async def test_a_user_queues_without_a_job(self, peer: QueueUnderTest) -> None:
        async with raw(peer, peer.user_key) as http:
            answer = await http.post("/enqueue", json=self.users_body())
            assert (answer.status_code, answer.json()["job_id"], answer.json()["status"]) == (202, None, "queued")
            unknown = await http.post("/enqueue", json=self.users_body() | {"colour": "blue"})
            assert problem(unknown) == (422, "invalid_request")

    async def test_a_user_may_not_send_what_is_the_orchestrators(self, peer: QueueUnderTest) -> None:
        async with raw(peer, peer.user_key) as http:
            for name, value in stage_fields(as_of="2026-01-01T00:00:00Z", submitted_at="2026-01-01T00:00:00Z").items():
                answer = await http.post("/enqueue", json=self.users_body() | {name: value})
                assert problem(answer) == (403, "internal_field"), name
        async with self.client_type.open(peer.url, SecretStr(peer.user_key)) as users:
            with pytest.raises(StageUnavailableError, match="403 internal_field"):
                await users.enqueue(self.request(**stage_fields()))

    async def test_nobody_without_a_valid_key_is_heard(self, peer: QueueUnderTest) -> None:
        for key in (None, "a-key-of-nobody"):
            async with raw(peer, key) as http:
                assert problem(await http.post("/enqueue", json=self.users_body()))[0] == 401


class ScraperContract(_QueueContract):
    """Inherit from it, and write a fixture `peer`: a `QueueUnderTest`."""

    client_type = ScraperClient

    def request(self, **fields: Any) -> EnqueueScrape:
        """Return a hand-out of a page."""
        return EnqueueScrape(url=URL, **fields)

    def several(self, hand_outs: list[dict[str, Any]]) -> EnqueueScrapes:
        """Return several hand-outs of a page."""
        return EnqueueScrapes(hand_outs=[ScrapeHandOut(url=URL, **fields) for fields in hand_outs])

    def users_body(self) -> dict[str, Any]:
        """Return a user's page."""
        return {"url": URL}


class EmbeddingContract(_QueueContract):
    """Inherit from it, and write a fixture `peer`: a `QueueUnderTest`."""

    client_type = EmbeddingClient

    def request(self, **fields: Any) -> EnqueueEmbed:
        """Return a hand-out of chunks that the orchestrator keeps."""
        return EnqueueEmbed(document=Document(url=URL), content_ref="0" * 40, **fields)

    def several(self, hand_outs: list[dict[str, Any]]) -> EnqueueEmbeds:
        """Return several hand-outs of chunks that the orchestrator keeps."""
        document = Document(url=URL)
        return EnqueueEmbeds(
            hand_outs=[EmbedHandOut(document=document, content_ref="0" * 40, **fields) for fields in hand_outs]
        )

    def users_body(self) -> dict[str, Any]:
        """Return a user's document, with its chunks."""
        return {"document": {"url": URL}, "chunks": [{"index": 0, "text": "words"}]}

    async def test_a_reference_without_a_job_is_rejected(self, stage: Any) -> None:
        with pytest.raises(StageRejectedError) as rejected:
            await stage.enqueue(self.request())
        assert rejected.value.code == "incomplete_hand_out"


class ChunkingContract:
    """Inherit from it, and write a fixture `peer`: a `StageUnderTest`."""

    @pytest.fixture
    async def stage(self, peer: StageUnderTest) -> AsyncIterator[ChunkingClient]:
        """Chunking, as the orchestrator calls it."""
        async with ChunkingClient.open(peer.url, SecretStr(peer.orchestrator_key)) as opened:
            yield opened

    async def test_chunks_are_slices_of_the_text_that_leave_nothing_out(self, stage: ChunkingClient) -> None:
        answer = await stage.chunk(ChunkRequest(text=TEXT, max_tokens=32, overlap_tokens=0, job_id="job-1"))
        chunks = answer.result.chunks
        assert len(chunks) > 1
        assert answer.result.job_id == "job-1"
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        assert [chunk.text for chunk in chunks] == [TEXT[chunk.start : chunk.end] for chunk in chunks]
        assert all(0 < chunk.token_count <= 32 for chunk in chunks)
        assert answer.result.token_total == sum(chunk.token_count for chunk in chunks)
        covered = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
        assert all(character.isspace() for place, character in enumerate(TEXT) if place not in covered)

    async def test_the_answer_is_kept_as_it_came(self, stage: ChunkingClient) -> None:
        answer = await stage.chunk(ChunkRequest(text=TEXT))
        assert type(answer.result).model_validate_json(answer.body) == answer.result

    async def test_a_blank_text_has_no_chunks(self, stage: ChunkingClient) -> None:
        assert (await stage.chunk(ChunkRequest(text=" \n "))).result.chunks == []

    async def test_a_request_that_does_not_fit_the_contract_is_rejected(self, stage: ChunkingClient) -> None:
        wrong = ChunkRequest(text="x").model_copy(update={"max_tokens": 1})
        with pytest.raises(StageRejectedError) as rejected:
            await stage.chunk(wrong)
        assert rejected.value.code == "invalid_request"

    async def test_a_field_of_a_later_version_is_ignored(self, stage: ChunkingClient) -> None:
        later = ChunkRequest.model_validate({"text": "x", "a_field_of_a_later_version": 1, "owner": "key:a"})
        assert len((await stage.chunk(later)).result.chunks) == 1

    async def test_a_user_may_send_a_job_id_and_nothing_else_of_the_orchestrators(self, peer: StageUnderTest) -> None:
        async with raw(peer, peer.user_key) as http:
            assert (await http.post("/chunk", json={"text": "x", "job_id": "mine"})).json()["job_id"] == "mine"
            assert problem(await http.post("/chunk", json={"text": "x", "owner": "key:a"})) == (403, "internal_field")
            assert problem(await http.post("/chunk", json={"text": "x", "colour": "b"})) == (422, "invalid_request")

    async def test_nobody_without_a_valid_key_is_heard(self, peer: StageUnderTest) -> None:
        for key in (None, "a-key-of-nobody"):
            async with raw(peer, key) as http:
                assert problem(await http.post("/chunk", json={"text": "x"}))[0] == 401
