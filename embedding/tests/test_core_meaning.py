"""What a passage's vector is made of beside its text."""

import httpx

from app.core.difference import new_chunks
from app.core.meaning import MAX_PATH_CHARACTERS, path_of
from ml_shared.contracts.embedding import ChunkIn
from ml_shared.testing.endpoint import FakeEndpoint
from tests.documents import add

HEADER = "| Part | Price |\n|:---|---:|\n"


def test_a_path_is_its_headings_the_innermost_of_many_and_a_tables_header() -> None:
    assert path_of([]) == ""
    assert path_of(["Guide", "Install"]) == "Guide > Install"
    assert path_of(["x" * 200, "Install"]).endswith(" > Install")
    assert len(path_of(["x" * 200, "Install"])) <= MAX_PATH_CHARACTERS
    assert path_of(["Parts"], HEADER) == "Parts > Part Price"


def test_other_headings_or_another_header_are_another_vector_and_none_the_one_before() -> None:
    def hashed(**fields: object) -> bytes:
        [made] = new_chunks([ChunkIn.model_validate({"index": 0, "text": "words"} | fields)])
        return made.text_hash

    hashes = [hashed(heading_path=["A"]), hashed(heading_path=["B"]), hashed(context="a"), hashed()]
    assert len(set(hashes)) == 4
    assert hashed().hex().startswith("dba36bffa5")


async def test_a_tables_header_goes_with_the_vector_and_is_shown(
    client: httpx.AsyncClient, endpoint: FakeEndpoint
) -> None:
    row = {"index": 0, "text": "| bolt | 3 |", "end": 12, "token_count": 7, "context": HEADER}
    await add(client, row, {"index": 1, "text": "prose", "start": 13, "end": 18})
    assert "Part Price" in endpoint.texts
    answer = await client.post("/search", json={"query": "bolt", "corpus_name": "docs", "mode": "text"})
    [hit] = answer.json()["results"]
    assert (hit["text"], hit["table_header"]) == ("| bolt | 3 |", HEADER)
    document = await client.get(f"/corpora/docs/documents/{hit['document_id']}")
    assert [chunk["table_header"] for chunk in document.json()["items"]] == [HEADER, None]
